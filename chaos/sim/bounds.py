"""What a node may hold in memory, and do at one go, whatever it is asked. Counted, not timed: the
same on every machine."""

from __future__ import annotations

from typing import Any

from chaos.sim.base_node import SimNode
from chaos.sim.hardened import HardenedNode
from chaos.sim.invariants import Violation
from coord.core.state import State
from coord.replication.port import Role
from coord.replication.pysyncobj_engine import APPLY_SLICE_BYTES, APPLY_SLICE_ENTRIES

SLICES_AT_ONCE = 2  # a tick and what a message brings can come to this in one step
OVERHEAD_BYTES = 16  # that each entry counts for beside its bytes


class Bounds:
    """The record of one run. A bound in bytes can be passed by one entry, or one batch of them."""

    def __init__(self) -> None:
        self._largest = 0  # entry
        self._led: dict[str, int] = {}  # node -> its last run in which it led
        self._step: tuple[str, int] = ("", -1)
        self._entries = 0
        self._bytes = 0

    def stamped(self, data: bytes) -> None:
        """An entry was made."""
        self._largest = max(self._largest, len(data) + OVERHEAD_BYTES)

    def sends(self, node: SimNode, message: dict[str, Any]) -> None:
        """A node sends a message."""
        if not isinstance(node, HardenedNode):
            return
        settings = node.settings
        if message["type"] == "append":
            # One entry always fits, also one that no service has stamped: a list of members.
            sizes = [len(command) for _, command in message["entries"]]
            most = max([settings.batch_bytes, self._largest, *sizes])
            self._check(node, "an append", sum(sizes), most)
        elif message["type"] == "snapshot":
            size = len(message["data"])
            self._check(node, "a piece of a snapshot", size, settings.snapshot_chunk_bytes)

    def look(self, node: SimNode) -> None:
        """At what a node holds."""
        if not isinstance(node, HardenedNode) or node.replica is None:
            return
        replica, settings = node.replica, node.settings
        more = max(settings.batch_bytes, self._largest) * 2
        lead = replica.account.while_leading()
        if lead is not None:
            self._led[node.node_id] = node.run
            for peer_id, flow in lead.flows.items():
                what, bound = f"in flight to {peer_id}", settings.max_in_flight_bytes + more
                self._check(node, what, flow.in_flight_bytes, bound)
        elif self._led.get(node.node_id) != node.run and replica.engine.role is Role.FOLLOWER:
            unsynced = replica.journal.unsynced_bytes
            self._check(node, "waiting for the disk", unsynced, settings.max_unsynced_bytes + more)

    def applied(self, node: SimNode, step: int, data: bytes) -> None:
        """A node has applied an entry in this step of the simulation."""
        if self._step != (node.node_id, step):
            self._step, self._entries, self._bytes = (node.node_id, step), 0, 0
        self._entries += 1
        self._bytes += len(data)
        most = SLICES_AT_ONCE * (APPLY_SLICE_BYTES + self._largest)
        self._check(node, "applied at one go", self._bytes, most)
        if self._entries > SLICES_AT_ONCE * APPLY_SLICE_ENTRIES:
            raise Violation(f"{node.node_id} applied {self._entries} entries at one go")

    def check_state(self, state: State) -> None:
        """What the state holds for its clients."""
        limits = state.limits
        if state.ctx.expiries_left < 0:
            raise Violation("more ended by itself in a batch than may")
        for session in state.sessions.values():
            if len(session.replies) > limits.max_replies_per_session:
                raise Violation(f"session {session.session_id} has {len(session.replies)} replies")

    @staticmethod
    def _check(node: SimNode, what: str, size: int, bound: int) -> None:
        if size > bound:
            raise Violation(f"{node.node_id}: {what}: {size} bytes; {bound} at most")
