"""Elections of several real replicas in one process: a killed leader, and who comes after it.

Time is virtual, links keep their order, disks take a while to sync; every choice comes from a seed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from chaos.sim.machine import LogMachine
from coord.replication.messages import Message
from coord.replication.port import Role
from coord.replication.replica import Replica
from coord.replication.replica_ports import Boot
from coord.replication.settings import ReplicaSettings
from coord.replication.storage.writes import WriteOp
from tests.support.replication import members_of

TICK_S = 0.025
NOTICE_S = (0.0005, 0.004)  # until a peer's connection is known to be gone

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long messages are on their way and disks take to sync, from and to (seconds)."""

    link_s: Span
    sync_s: Span


IDLE = Pace((0.0002, 0.001), (0.002, 0.012))
BUSY = Pace((0.001, 0.02), (0.005, 0.06))  # all nodes on one machine that has other work


@dataclass(frozen=True, slots=True)
class Succession:
    """From the loss of a leader to the next: elections begun, and time."""

    terms: int
    seconds: float


class Ballot:
    """A cluster of `size` replicas. Nothing reaches those that are in `deaf`."""

    def __init__(self, size: int, pace: Pace, seed: int) -> None:
        self.now = 100.0
        self.pace = pace
        self.deaf: set[str] = set()
        self.rng = Random(f"ballot/{seed}")
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._arrives: dict[tuple[str, str], float] = {}
        ids = [f"n{number + 1}" for number in range(size)]
        self.nodes = {node_id: _Node(self, node_id, ids) for node_id in ids}
        for node in self.nodes.values():
            for peer in ids:
                if peer != node.node_id:
                    node.replica.connected(peer)
            self.after(self.rng.uniform(0, TICK_S), node.tick)

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (self.now + delay_s, self._count, action))

    def between(self, span_s: Span) -> float:
        return self.rng.uniform(*span_s)

    def send(self, sender: str, peer: str, message: Message) -> None:
        link = (sender, peer)
        at = max(self._arrives.get(link, 0.0), self.now + self.between(self.pace.link_s))
        self._arrives[link] = at
        self.after(at - self.now, lambda: self.nodes[peer].receive(sender, message))

    def kill(self, node_id: str) -> None:
        self.nodes[node_id].alive = False
        for peer in self.nodes.values():
            self.after(self.between(NOTICE_S), lambda peer=peer: peer.loses(node_id))  # type: ignore[misc]

    def leader(self) -> _Node | None:
        """Who leads in the highest term of all that live."""
        alive = [node for node in self.nodes.values() if node.alive]
        latest = max(alive, key=lambda node: (node.replica.engine.term, node.leads))
        return latest if latest.leads else None

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Whether it came to `until` in that time."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end and not until():
            self.now, _, action = heapq.heappop(self._events)
            action()
        return until()

    def keep_writing(self, leader: _Node, every_s: float = 0.002) -> None:
        """Until it leads no more: so those that are not needed for a majority are a bit behind."""
        if leader.alive and leader.leads:
            leader.replica.propose(b"x")
            leader.replica.flush()
            self.after(every_s, lambda: self.keep_writing(leader))

    def succession(self, dead: int, deaf: int = 0, *, writing: bool = False) -> Succession:
        """Elect a leader, then lose `dead` nodes, it last; `deaf` others hear nothing then."""
        assert self.run(10.0, lambda: self.leader() is not None), "nobody leads at first"
        self.run(1.0)
        leader = self.leader()
        assert leader is not None
        others = sorted(set(self.nodes) - {leader.node_id})
        chosen = self.rng.sample(others, dead - 1 + deaf)
        for node_id in chosen[deaf:]:
            self.kill(node_id)
        if writing:
            self.keep_writing(leader)
        self.run(0.3)
        self.deaf.update(chosen[:deaf])
        term, since = leader.replica.engine.term, self.now
        self.kill(leader.node_id)
        assert self.run(30.0, lambda: self.leader() is not None), "nobody leads any more"
        follower = self.leader()
        assert follower is not None
        return Succession(follower.replica.engine.term - term, self.now - since)


class _Node:
    """One replica and its ports."""

    def __init__(self, ballot: Ballot, node_id: str, ids: list[str]) -> None:
        self._ballot = ballot
        self.node_id = node_id
        self.alive = True
        self._syncing = False
        self._written = 0
        boot = Boot(1, [], False, 1, 0, None, None)
        self.replica = Replica(
            node_id,
            members_of(*ids),
            ReplicaSettings(state_check_s=0.0),
            boot,
            LogMachine(),
            self,
            self,
            Random(f"{node_id}/{ballot.rng.random()}"),
        )

    @property
    def leads(self) -> bool:
        return self.replica.engine.role is Role.LEADER

    def tick(self) -> None:
        if self.alive:
            self.replica.tick()
            self._ballot.after(TICK_S, self.tick)

    def receive(self, sender: str, message: Message) -> None:
        ballot = self._ballot
        if self.alive and ballot.nodes[sender].alive and self.node_id not in ballot.deaf:
            self.replica.receive(sender, message)

    def loses(self, peer: str) -> None:
        if self.alive:
            self.replica.disconnected(peer)

    def _synced(self, sequence: int) -> None:
        if self.alive:
            self._syncing = False
            if sequence < self._written:
                self._sync()
            self.replica.synced(sequence)

    def _sync(self) -> None:
        self._syncing = True
        sequence = self._written
        delay_s = self._ballot.between(self._ballot.pace.sync_s)
        self._ballot.after(delay_s, lambda: self._synced(sequence))

    # Its ports

    def now(self) -> float:
        return self._ballot.now

    def real_now(self) -> float:
        return self._ballot.now

    def wall_ms(self) -> int:
        return 0

    def send(self, peer_id: str, message: Message) -> bool:
        self._ballot.send(self.node_id, peer_id, dict(message))
        return True

    def write(self, sequence: int, operation: WriteOp) -> None:
        self._written = sequence
        if not self._syncing:
            self._sync()

    def applied(self, index: int, term: int, result: object) -> None: ...
    def applied_by_snapshot(self, index: int) -> None: ...
    def changed(self) -> None: ...
    def peers_changed(self, addresses: Mapping[str, str]) -> None: ...

    def failed(self, error: BaseException) -> None:
        raise error

    def run(self, job: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        raise AssertionError("no snapshot is taken here")
