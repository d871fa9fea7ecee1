"""Bringing the faults of a plan about, and their healing."""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random

from chaos.sim.base_node import SimNode
from chaos.sim.invariants import Violation
from chaos.sim.member_faults import MemberFaults
from chaos.sim.plan import LEADER, Fault
from chaos.sim.service import Outcome, item_of
from chaos.sim.stage import Stage
from coord.codec.kinds import CommandKind
from coord.pb import etcd_rpc_pb2

DISK_FULL_BYTES = 400
FLOOD_VALUE_BYTES = 60


class FaultInjector:
    """The faults of one run. `rotten`: nodes whose disks are damaged, which stay down; never so
    many that there is no majority left."""

    def __init__(self, world: Stage) -> None:
        self.rotten: set[str] = set()
        self._world = world
        self._rng = Random(f"faults/{world.plan.seed}")
        self._over = False
        self._bad_disks: set[str] = set()
        self._renewed: set[str] = set()  # nodes with a new disk that do not vote yet
        self._founded: set[str] = set()  # nodes that were seen to vote
        self._flooded = 0
        self.members = MemberFaults(world, self.renew)

    def schedule(self, faults: tuple[Fault, ...]) -> None:
        for number, fault in enumerate(faults):
            self._world.clock.at(fault.at_s, lambda n=number, f=fault: self._bring(n, f))  # type: ignore[misc]

    def end(self) -> None:
        """Heal everything; every node that can runs."""
        self._over = True
        world = self._world
        world.note("everything is healed")
        world.network.heal()
        for node in world.nodes.values():
            node.sync_delay_s = 0.001
            node.stalled_until = 0.0
            node.dies_at_send = None
            node.disk.free_bytes = None
            node.disk.fault = None
            node.disk.crash_after(1 << 60)
            if node.run:
                world.start(node)

    def restart_later(self, node: SimNode, down_s: float | None = None) -> None:
        """Start it again some time later."""
        if down_s is None:
            low, high = self._rng.choice(((0.001, 0.02), (0.05, 1.0), (1.0, 3.0)))
            down_s = self._rng.uniform(low, high)
        if self._over:
            down_s = min(down_s, 0.2)
        self._world.clock.after(down_s, lambda: self._world.start(node))

    def may_fail_sync(self, node: SimNode) -> bool:
        """Whether its disk was told to fail."""
        return node.node_id in self._bad_disks

    def _bring(self, number: int, fault: Fault) -> None:
        handler: Callable[[Fault], None] = getattr(self, f"_{fault.kind}")
        shown = [fault.kind, list(fault.nodes), round(fault.amount, 6)]
        self._world.promises.fault(self._world.clock.now, fault.kind, shown[1:])
        self._world.note(f"fault {number}: {fault.kind} {' '.join(fault.nodes)} {fault.amount:.4g}")
        handler(fault)

    def _nodes(self, fault: Fault) -> list[SimNode]:
        """The nodes meant, that are up."""
        leader = self._world.leader()
        chosen = []
        for name in fault.nodes:
            node = leader if name == LEADER else self._world.nodes[name]
            if node is not None and node.alive and node not in chosen:
                chosen.append(node)
        return chosen

    # Links

    def _heal(self, fault: Fault) -> None:
        self._world.network.heal()

    def _cut(self, fault: Fault) -> None:
        a, b = fault.nodes
        self._world.network.break_link(a, b, cut=True)
        self._world.network.break_link(b, a, cut=True)

    def _one_way(self, fault: Fault) -> None:
        a, b = fault.nodes
        self._world.network.break_link(a, b, cut=True)

    def _reset(self, fault: Fault) -> None:
        a, b = fault.nodes
        self._world.network.break_link(a, b, cut=False)

    def _slow(self, fault: Fault) -> None:
        a, b = fault.nodes
        self._world.network.slow_down(a, b, fault.amount)

    def _isolate(self, fault: Fault) -> None:
        names = {node.node_id for node in self._nodes(fault)}
        self._part(lambda a, b: (a in names) != (b in names))

    def _split(self, fault: Fault) -> None:
        names = set(fault.nodes)
        self._part(lambda a, b: (a in names) != (b in names))

    def _part(self, apart: Callable[[str, str], bool]) -> None:
        for a, b in self._world.network.pairs():
            if apart(a, b):
                self._world.network.break_link(a, b, cut=True)

    # Processes and power

    def _kill(self, fault: Fault) -> None:
        self._down(fault, power_loss=False)

    def _kill_leader(self, fault: Fault) -> None:
        self._down(fault, power_loss=False)

    def _kill_all(self, fault: Fault) -> None:
        self._down(fault, power_loss=False)

    def _power_cut(self, fault: Fault) -> None:
        self._down(fault, power_loss=True)

    def _power_cut_all(self, fault: Fault) -> None:
        self._down(fault, power_loss=True)

    def _down(self, fault: Fault, *, power_loss: bool) -> None:
        for node in self._nodes(fault):
            self._world.kill(node, power_loss=power_loss)
            self.restart_later(node, fault.down_s)

    def _kill_at_write(self, fault: Fault) -> None:
        for node in self._nodes(fault):
            node.power_at_write = False
            node.disk.crash_after(int(fault.amount))

    def _power_at_write(self, fault: Fault) -> None:
        for node in self._nodes(fault):
            node.power_at_write = True
            node.disk.crash_after(int(fault.amount))

    def _kill_at_send(self, fault: Fault) -> None:
        for node in self._nodes(fault):
            node.dies_at_send = int(fault.amount)

    def _stall(self, fault: Fault) -> None:
        for node in self._nodes(fault):
            node.stalled_until = self._world.clock.now + fault.amount

    def _drift(self, fault: Fault) -> None:
        for node in self._nodes(fault):
            node.clock.set_rate(fault.amount)

    def _transfer(self, fault: Fault) -> None:
        leader = self._world.leader()
        if leader is not None:
            leader.transfer()

    # Disks

    def _slow_disk(self, fault: Fault) -> None:
        for node in self._nodes(fault):
            node.sync_delay_s = fault.amount

    def _sync_fails(self, fault: Fault) -> None:
        """The next sync of a file fails, once."""
        for node in self._nodes(fault):
            self._bad_disks.add(node.node_id)
            node.disk.fault = _FailOnce(node)

    def _disk_full(self, fault: Fault) -> None:
        for node in self._nodes(fault):
            self._bad_disks.add(node.node_id)
            node.disk.free_bytes = DISK_FULL_BYTES
            self._world.clock.after(fault.amount, lambda node=node: self._make_room(node))  # type: ignore[misc]

    @staticmethod
    def _make_room(node: SimNode) -> None:
        node.disk.free_bytes = None

    def _bit_rot(self, fault: Fault) -> None:
        """Damage a disk and restart its node: it has to refuse."""
        world = self._world
        majority = world.plan.nodes // 2 + 1
        for node in self._nodes(fault):
            if self._renewed or len(self.rotten) + 1 > world.plan.nodes - majority:
                return
            world.kill(node, power_loss=False)
            if not node.rot(fault.amount):
                self.restart_later(node, fault.down_s)
                continue
            if node.starts():
                world.guard(_broken, f"{node.node_id} started over a damaged disk")
            self.rotten.add(node.node_id)
            world.note(f"{node.node_id} refuses to start; it stays down")

    def _new_disk(self, fault: Fault) -> None:
        """A node loses its data and comes back without. Only while every other node has its own:
        a node that is not admitted yet, or stays down, counts as lost as well."""
        world = self._world
        for node in self._nodes(fault):
            if (
                self.rotten
                or self._renewed - {node.node_id}
                or len(self._founded) < world.plan.nodes
            ):
                return
            if world.plan.spares and not self.members.may_lose_disk(node.node_id):
                return
            world.kill(node, power_loss=True)
            self.renew(node)
            self._renewed.add(node.node_id)
            self.restart_later(node, fault.down_s)

    def renew(self, node: SimNode) -> None:
        """A node that is down gets a new disk. What it promised before must still hold."""
        node.lose_disk()
        others = [other for other in self._world.nodes.values() if other is not node]
        latest = max(other.stored_vote()[0] for other in others)
        self._world.invariants.disk_lost(node.node_id, latest)

    def node_takes_part(self, node: SimNode) -> None:
        """Its new disk holds what it needs."""
        self._renewed.discard(node.node_id)
        self._founded.add(node.node_id)

    # Members

    def _add_node(self, fault: Fault) -> None:
        self.members.add_node(fault)

    def _promote(self, fault: Fault) -> None:
        self.members.promote(fault)

    def _remove_node(self, fault: Fault) -> None:
        self.members.remove_node(fault)

    def _lost_change(self, fault: Fault) -> None:
        """A leader is cut off, and changes the members as if nothing were."""
        leader = self._world.leader()
        if leader is not None:
            self._part(lambda a, b: leader.node_id in (a, b))
            self.members.remove_node(fault)
            self.members.add_node(fault)

    # Load

    def _flood(self, fault: Fault) -> None:
        """Many writes at once, whatever becomes of them."""
        leader = self._world.leader()
        if leader is None:
            return

        def ignore(_: Outcome) -> None:
            """Nobody waits for it."""

        for _ in range(int(fault.amount)):
            self._flooded += 1
            value = b"%0*d" % (FLOOD_VALUE_BYTES, self._flooded)
            raw = etcd_rpc_pb2.PutRequest(key=b"flood", value=value).SerializeToString()
            item = item_of(CommandKind.KV_PUT, raw)
            leader.request(lambda service, item=item: service.write(item, ignore, owner="flood"))  # type: ignore[misc]


class _FailOnce:
    """A disk fault: the next sync of a file fails with an I/O error."""

    def __init__(self, node: SimNode) -> None:
        self._node = node

    def __call__(self, operation: str, path: str) -> OSError | None:
        if operation != "fdatasync":
            return None
        self._node.disk.fault = None
        return OSError(errno.EIO, "simulated I/O error", path)


def _broken(text: str) -> None:
    raise Violation(text)
