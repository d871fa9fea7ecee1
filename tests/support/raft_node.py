"""One real replica of a Raft scenario: its storage on a simulated disk, its clock, its trace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol

from chaos.sim.disk import SimDisk
from chaos.sim.machine import LogMachine
from coord.journal import DiskFullError
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.errors import FatalReplicaError
from coord.replication.loading import restore
from coord.replication.messages import InvalidMessageError, Message
from coord.replication.peers.plausibility import EARLIEST_WALL_MS
from coord.replication.port import Member, ReplicationError, WriteBlock
from coord.replication.replica import Replica
from coord.replication.settings import ReplicaSettings
from coord.replication.storage.writes import WriteOp
from tests.support.raft_trace import entry_text, members_text, result_text, write_text


class Surroundings(Protocol):
    """What carries a node's messages and notes what it does."""

    def carry(self, sender: str, peer: str, message: Message) -> bool: ...
    def note(self, line: str) -> None: ...


class Shortest(Random):
    """No randomness: every wait is the shortest that is allowed; nonces are counted."""

    def __init__(self) -> None:
        super().__init__(0)
        self._count = 0

    def random(self) -> float:
        return 0.0

    def getrandbits(self, k: int) -> int:
        self._count += 1
        return self._count


class RaftNode:
    """`disk` outlives the runs. Nothing is written before `sync`; what is not is lost at a stop."""

    def __init__(
        self,
        node_id: str,
        members: tuple[Member, ...],
        settings: ReplicaSettings,
        around: Surroundings,
    ) -> None:
        self.node_id = node_id
        self.members = members
        self.settings = settings
        self.disk = SimDisk()
        self.machine = LogMachine()
        self.time_ms = 1_000
        self.first_run = EARLIEST_WALL_MS  # that of a new disk is a little later
        self.peers: set[str] = set()  # whom it talks to
        self._around = around
        self._rng = Shortest()
        self._runs = 0
        self._storage: OpenStorage | None = None
        self._queue: deque[tuple[int, WriteOp]] = deque()
        self._jobs: deque[tuple[Callable[[Any], Any], Callable[[Any], None]]] = deque()
        self._shown_members: tuple[Member, ...] = ()
        self._reads = 0
        self.replica: Replica | None = None

    # Life

    def start(self) -> None:
        self._runs += 1
        self.machine = LogMachine()
        self._storage = storage = open_storage(
            "/node",
            "raft",
            self.node_id,
            wall_ms=self.first_run + self._runs,
            incarnation=self._runs,
            fs=self.disk,
        )
        if storage.boot.snapshot is not None:
            restore(self.machine, storage.snapshots, storage.boot.snapshot)
        self.replica = Replica(
            self.node_id,
            self.members,
            self.settings,
            storage.boot,
            self.machine,
            self,
            self,
            self._rng,
        )
        self._shown_members = self.replica.electorate.membership.members
        self.peers = set(self.replica.known_peers.addresses)

    def stop(self) -> None:
        """At once; only what is on the disk stays."""
        self.replica = None
        self._queue.clear()
        self._jobs.clear()
        self._storage = None
        self.disk.revive()

    def lose_disk(self) -> None:
        self.disk = SimDisk()

    def up(self) -> Replica:
        if self.replica is None:
            raise AssertionError(f"{self.node_id} is not running")
        return self.replica

    def do(self, action: Callable[..., Any], *arguments: Any) -> None:
        """Let the replica do something, and then what follows from it."""
        try:
            action(*arguments)
            while self.replica is not None and self._goes_on(self.replica):
                pass
        except InvalidMessageError as error:
            self._note(f"closes the connection: {error}")
        except ReplicationError as error:
            self._note(f"refuses: {error}")
        except FatalReplicaError as error:
            self._note(f"stops itself: {type(error).__name__}: {error}")
            self.stop()

    def _goes_on(self, replica: Replica) -> bool:
        if replica.engine.applied_index < replica.engine.commit_index:
            replica.apply()
            return True
        if self._jobs:
            job, done = self._jobs.popleft()
            assert self._storage is not None
            try:
                result = job(self._storage.snapshots)
            except (DiskFullError, OSError) as error:
                result = error
            done(result)
            return True
        return False

    # What a scenario asks for

    def propose(self, data: bytes) -> None:
        self.up().propose(data)
        self.up().flush()

    def read(self) -> None:
        self._reads += 1
        number = self._reads

        def done(index: int | None) -> None:
            self._note(f"read {number} " + ("failed" if index is None else f"at {index}"))

        self.up().read(done)
        self.up().flush()

    def transfer(self, target: str | None) -> None:
        def done(leader: str | None) -> None:
            self._note(f"transfer ended: {leader or 'nobody took over in time'}")

        self.up().transfer(target, done)

    def take_snapshot(self) -> None:
        self.up().snapshots.take()
        while self.up().step_background() or self._goes_on(self.up()):
            pass

    @property
    def is_dirty(self) -> bool:
        """Something waits to be written, and can be."""
        return bool(self._queue) and self.disk.free_bytes is None

    def sync(self) -> None:
        """Write and sync everything there is."""
        if not self._queue or self._storage is None:
            return
        last = self._queue[-1][0]
        try:
            self._storage.writer.carry_out(self._queue)
        except DiskFullError:
            vote = self._storage.writer.store_vote_ahead(self._queue)
            self._storage.writer.sync()
            self._note("disk is full" + (", but the vote is stored" if vote else ""))
            self.up().block_writes(WriteBlock.DISK_FULL)
            self.do(self.up().vote_stored, vote)
            return
        self._storage.writer.sync()
        self._note("syncs")
        self.up().block_writes(None)
        self.do(self.up().synced, last)

    def status(self) -> str:
        if self.replica is None:
            return f"{self.node_id} is down"
        engine, journal = self.replica.engine, self.replica.journal
        words = [
            self.node_id,
            self.replica.role.name,
            f"term={engine.term}",
            f"leader={engine.leader_id or 'none'}",
            f"log={journal.first_index}..{journal.last_index}",
            f"synced={journal.synced_index}",
            f"commit={engine.commit_index}",
            f"applied={engine.applied_index}",
        ]
        if (reason := self.replica.leading.write_block_reason) is not None:
            words.append(f"blocked={reason}")
        if not self.replica.admission.votes:
            words.append(f"waits: {self.replica.admission.waits_for}")
        return " ".join(words)

    def log(self) -> str:
        first, *others = self.up().journal[:]
        entries = [f"{first[1]}/{first[2]} base", *(entry_text(i, t, c) for c, i, t in others)]
        return f"{self.node_id} {', '.join(entries)}"

    # ReplicaPorts and SnapshotWorker

    def now(self) -> float:
        return self.time_ms / 1000

    def real_now(self) -> float:
        return self.time_ms / 1000

    def wall_ms(self) -> int:
        return self.time_ms

    def send(self, peer_id: str, message: Message) -> bool:
        return self._around.carry(self.node_id, peer_id, message)

    def write(self, sequence: int, operation: WriteOp) -> None:
        self._queue.append((sequence, operation))
        self._note(f"writes {write_text(operation)}")

    def applied(self, index: int, term: int, result: object) -> None:
        self._note(f"applies {index}/{term} {result_text(result)}")

    def applied_by_snapshot(self, index: int) -> None:
        self._note(f"installs the snapshot of {index}")

    def changed(self) -> None:
        if self.replica is None:
            return
        engine, members = self.replica.engine, self.replica.electorate.membership.members
        leader = engine.leader_id or "none"
        self._note(f"is {self.replica.role.name} term={engine.term} leader={leader}")
        if members != self._shown_members:
            self._shown_members = members
            self._note(f"counts {members_text(members)}")

    def peers_changed(self, addresses: Mapping[str, str]) -> None:
        self.peers = set(addresses)

    def failed(self, error: BaseException) -> None:
        raise error

    def run(self, job: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        self._jobs.append((job, done))

    def _note(self, line: str) -> None:
        self._around.note(f"{self.node_id} {line}")
