"""One replica whose world a test plays: time, peers and disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from chaos.sim.machine import LogMachine
from coord.journal import Admission
from coord.replication.messages import Message
from coord.replication.port import Member, Role, StateMachine
from coord.replication.replica import Replica
from coord.replication.replica_ports import VOTES_ALREADY, Boot
from coord.replication.settings import ReplicaSettings
from coord.replication.storage.writes import WriteOp
from tests.support.replication import members_of


class ReplicaWorld:
    """One replica n1 of `size` nodes (or of `members`); the test plays the others and the disk."""

    def __init__(
        self,
        size: int = 3,
        term: int = 0,
        voted_for: str | None = None,
        members: tuple[Member, ...] = (),
        admission: Admission = VOTES_ALREADY,
        settings: ReplicaSettings | None = None,
        boot: Boot | None = None,
        machine: StateMachine | None = None,
    ) -> None:
        self.time = 100.0
        self.outbox: list[tuple[str, Message]] = []
        self.operations: list[WriteOp] = []
        self.caught: list[BaseException] = []
        members = members or members_of(*(f"n{i + 1}" for i in range(size)))
        self.peers = [member.node_id for member in members if member.node_id != "n1"]
        self.known: Mapping[str, str] = {}
        self.results: list[tuple[int, object]] = []
        self._number = 0
        boot = boot or Boot(1, [], False, 1, term, voted_for, None, admission)
        self.replica = Replica(
            "n1",
            members,
            settings or ReplicaSettings(),
            boot,
            machine or LogMachine(),
            self,
            self,
            Random(1),
        )
        for peer in self.peers:
            self.replica.connected(peer)
        self.sync()

    def now(self) -> float:
        return self.time

    def real_now(self) -> float:
        return self.time

    def wall_ms(self) -> int:
        return 0

    def send(self, peer_id: str, message: Message) -> bool:
        self.outbox.append((peer_id, message))
        return True

    def write(self, sequence: int, operation: WriteOp) -> None:
        self.operations.append(operation)

    def applied(self, index: int, term: int, result: object) -> None:
        self.results.append((index, result))

    def applied_by_snapshot(self, index: int) -> None: ...
    def changed(self) -> None: ...

    def peers_changed(self, addresses: Mapping[str, str]) -> None:
        self.known = addresses

    def failed(self, error: BaseException) -> None:
        self.caught.append(error)

    def run(self, job: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        raise AssertionError("no snapshot is taken here")

    def sync(self) -> None:
        self.replica.synced(len(self.operations))

    def tick(self, seconds: float = 0.0) -> None:
        self.time += seconds
        self.replica.tick()

    def deliver(self, peer: str, kind: str, term: int, **fields: Any) -> None:
        self._number += 1
        stamp = {"boot": 1, "number": self._number}
        self.replica.receive(peer, {"type": kind, "term": term, **stamp, **fields})

    def append(self, peer: str, term: int, *entries: list[Any], prev: int = 1, **more: Any) -> None:
        fields: dict[str, Any] = {"commit": 1, "append": 1, "read": 0, "prev_term": 0, **more}
        self.deliver(peer, "append", term, prev_index=prev, entries=list(entries), **fields)

    def take(self, kind: str) -> list[tuple[str, Message]]:
        """What was sent of a kind; forgets all."""
        found = [(peer, m) for peer, m in self.outbox if m["type"] == kind]
        self.outbox.clear()
        return found

    def lead(self, *voters: str) -> None:
        """In term 1, by the votes of these (n2)."""
        self.tick(5.0)
        for voter in voters or ("n2",):
            self.deliver(voter, "pre_vote_reply", 0, wanted=1, granted=True)
        self.sync()
        for voter in voters or ("n2",):
            self.deliver(voter, "vote", 1)
        assert self.replica.engine.role is Role.LEADER
