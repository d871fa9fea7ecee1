"""A simulated node of the product: the real replica, filter, engine, journal, vote file, snapshot
store and state machine on a simulated disk. What differs from a real node is who turns the crank.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from chaos.sim.base_node import DIRECTORY, Entry, NodeWatcher, SimNode, member_of
from chaos.sim.clock import SimClock
from chaos.sim.disk import SimDisk, SimulatedCrash
from chaos.sim.plan import SimPlan
from chaos.sim.scheduler import SimOutcome
from chaos.sim.service import THE_PRODUCT, SimBuild
from coord.core.batch import Applied
from coord.journal import DiskFullError, SnapshotStore, VoteFile
from coord.journal.vote import COPY_BYTES
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.errors import FatalReplicaError
from coord.replication.levels import Levels
from coord.replication.loading import restore
from coord.replication.membership import Membership
from coord.replication.port import (
    Member,
    MembershipChange,
    OutcomeUnknownError,
    ReplicationError,
    Role,
)
from coord.replication.replica import Replica
from coord.replication.settings import ReplicaSettings
from coord.replication.storage.writes import WriteOp

SEGMENT_BYTES = 4096
DISK_RETRY_S = 0.2
SETTINGS = ReplicaSettings(snapshot_chunk_bytes=700, state_check_s=0.7)


class HardenedNode(SimNode):
    """See the module."""

    def __init__(
        self,
        node_id: str,
        plan: SimPlan,
        clock: SimClock,
        watcher: NodeWatcher,
        build: SimBuild = THE_PRODUCT,
    ) -> None:
        super().__init__(node_id, plan, clock, watcher, build)
        self.replica: Replica | None = None
        self.settings = replace(
            SETTINGS,
            snapshot_chunk_bytes=plan.chunk_bytes,
            batch_bytes=plan.batch_bytes,
            max_in_flight_bytes=plan.batch_bytes * 4,
            max_unsynced_bytes=plan.batch_bytes * 3,  # less than that, so that it is reached
            snapshot_entries=plan.snapshot_entries,
            keep_entries=plan.keep_entries,
            max_pending_entries=plan.max_pending,
        )
        self._storage: OpenStorage | None = None
        self._queue: deque[tuple[int, WriteOp]] = deque()
        self._writing = False
        self._pending: dict[int, tuple[int, SimOutcome]] = {}
        self._flush_scheduled = False
        self._levels = Levels(plan.level)
        self._readers: list[tuple[int, Callable[[bool], None]]] = []
        self.seeds = tuple(sorted({*plan.node_ids, node_id}))  # the members it is configured with

    # Life

    def _boot(self) -> None:
        assert self.service is not None
        self._queue.clear()
        self._writing = False
        self._flush_scheduled = False
        self._levels = Levels(self.plan.level)
        self._storage = storage = open_storage(
            DIRECTORY,
            "sim",
            self.node_id,
            wall_ms=self.wall_ms(),
            incarnation=self.run,
            fs=self.disk,
            segment_bytes=SEGMENT_BYTES,
            reserve_bytes=SEGMENT_BYTES // 8,
        )
        places = (DIRECTORY, f"{DIRECTORY}/journal")
        self.watcher.node_recovered(self, [one for at in places for one in self.disk.at_stake(at)])
        host = self.service.host
        if storage.boot.snapshot is not None:
            restore(host, storage.snapshots, storage.boot.snapshot)
            self.watcher.node_restored(self, storage.boot.snapshot.index)
        self.replica = Replica(
            self.node_id,
            tuple(map(member_of, self.seeds)),
            self.settings,
            storage.boot,
            host,
            self,
            _SnapshotJobs(self, storage.snapshots),
            self._rng,
            self._levels,
        )

    def _stop(self) -> None:
        self.replica = None
        self._storage = None
        self._pending.clear()
        self._readers.clear()

    def tick(self) -> None:
        replica = self._up()
        replica.tick()
        replica.step_background()

    def receive(self, peer_id: str, message: Any) -> None:
        self._up().receive(peer_id, message)

    def connected(self, peer_id: str) -> None:
        self._levels.heard(peer_id, self.plan.level)
        self.guard(lambda: self._up().connected(peer_id))

    def disconnected(self, peer_id: str) -> None:
        self.guard(lambda: self._up().disconnected(peer_id))

    def _up(self) -> Replica:
        assert self.replica is not None
        return self.replica

    # For the service

    def leads(self) -> bool:
        return self.replica is not None and self.replica.engine.role is Role.LEADER

    def leader_hint(self) -> str | None:
        return self.replica.engine.leader_id if self.replica is not None else None

    def propose(self, data: bytes) -> SimOutcome:
        self.stamped(data)
        index, term = self._up().propose(data)
        outcome = self.scheduler.create_future()
        self._pending[index] = (term, outcome)
        if not self._flush_scheduled:  # what is proposed in one turn leaves together
            self._flush_scheduled = True
            self.scheduler.call_soon(self._flush_proposed)
        return outcome

    def _flush_proposed(self) -> None:
        self._flush_scheduled = False
        self.flush()

    @property
    def write_block_reason(self) -> str | None:
        return self._up().leading.write_block_reason

    @property
    def growth_block_reason(self) -> str | None:
        return self._up().snapshots.why_nothing_grows

    @property
    def member_levels(self) -> dict[str, int | None]:
        return self._levels.of(self.node_id, self.members)

    def require_level(self, level: int) -> None:
        self._levels.require(level)

    @property
    def membership_now(self) -> dict[str, Member]:
        return {member.node_id: member for member in self.membership.members}

    def barrier(self, done: Callable[[bool], None]) -> None:
        def confirmed(index: int | None) -> None:
            if index is None:
                done(False)
            elif self._up().engine.applied_index >= index:
                done(True)
            else:
                self._readers.append((index, done))

        try:
            self._up().read(confirmed)
        except ReplicationError:  # it waits for room on the disks
            done(False)

    def flush(self) -> None:
        self._up().flush()

    def machine_restored(self) -> None:
        """Told apart by who restores: the start, or `applied_by_snapshot`."""

    def transfer(self) -> None:
        def begin() -> None:
            try:
                self._up().transfer(None, lambda _: None)
            except ReplicationError:
                return

        self.guard(begin)

    def change_members(self, change: MembershipChange) -> tuple[bool, str]:
        """Begin a change; whether it was begun, and if not, why."""

        def begin() -> tuple[bool, str]:
            try:
                self._up().change_members(change)
                self._up().flush()
            except ReplicationError as error:
                return False, str(error)
            return True, ""

        return self.guard(begin) or (False, "")

    # ReplicaPorts

    def now(self) -> float:
        return self.clock.now()

    def real_now(self) -> float:
        return self.clock.now()

    def write(self, sequence: int, operation: WriteOp) -> None:
        self._queue.append((sequence, operation))
        if not self._writing:
            self._writing = True
            self.later(self._rng.random() * self.sync_delay_s, self._write)

    def applied(self, index: int, term: int, result: object) -> None:
        if not isinstance(result, Applied):
            self.watcher.node_reconfigured(self, index, term, cast("tuple[Member, ...]", result))
            return
        pending = self._pending.pop(index, None)
        if pending is not None:
            proposed_term, outcome = pending
            if proposed_term == term:
                self.watcher.node_acknowledges(self, index, term)
                outcome.set_result(result)
            else:
                outcome.set_exception(OutcomeUnknownError("another entry took its place"))
        if self._readers:
            self._wake_readers(index)

    def applied_by_snapshot(self, index: int) -> None:
        self.watcher.node_restored(self, index)
        self._give_up_proposals(None, "a snapshot replaced the log")
        self._wake_readers(index)

    def changed(self) -> None:
        """Leadership lost means that the fate of what is pending is not known any more here."""
        if self.replica is None or self.service is None:
            return
        engine = self.replica.engine
        self.watcher.node_changed(self)
        leads_term = engine.term if engine.role is Role.LEADER else None
        self._give_up_proposals(leads_term, "leadership was lost")
        self.service.leadership_changed()

    def _give_up_proposals(self, but_of_term: int | None, why: str) -> None:
        """Nobody will know here what becomes of them."""
        for index in [i for i, (term, _) in self._pending.items() if term != but_of_term]:
            _, outcome = self._pending.pop(index)
            outcome.set_exception(OutcomeUnknownError(why))

    def peers_changed(self, addresses: Mapping[str, str]) -> None:
        self.later(0, lambda: self.watcher.node_peers_changed(self))

    def failed(self, error: BaseException) -> None:
        self.fail(error)

    def _wake_readers(self, applied: int) -> None:
        ready = [done for index, done in self._readers if index <= applied]
        self._readers = [reader for reader in self._readers if reader[0] > applied]
        for done in ready:
            done(True)

    # The disk

    def _write(self) -> None:
        self.guard(self._carry_out)

    def _carry_out(self) -> None:
        assert self._storage is not None
        try:
            done = self._storage.writer.carry_out(self._queue)
        except DiskFullError:
            vote = self._storage.writer.store_vote_ahead(self._queue)
            self._storage.writer.sync()
            self._up().block_writes("DISK_FULL")
            self._up().vote_stored(vote)
            self.later(DISK_RETRY_S, self._write)
            return
        self._up().block_writes(None)
        delay_s = 0.0001 + (self.sync_delay_s - 0.0001) * self._rng.random()
        self.later(delay_s, lambda: self.guard(lambda: self._sync(done)))

    def _sync(self, done: int) -> None:
        assert self._storage is not None
        self._storage.writer.sync()
        self._writing = False
        if self._queue:
            self._writing = True
            self.later(0, self._write)
        self._up().synced(done)

    # For the checks

    @property
    def term(self) -> int:
        return self._up().engine.term

    @property
    def commit_index(self) -> int:
        return self._up().engine.commit_index

    @property
    def applied_index(self) -> int:
        return self._up().engine.applied_index if self.replica is not None else 0

    def log(self) -> list[Entry]:
        return self._up().journal[:]

    def holds(self, index: int, term: int) -> bool:
        journal = self._up().journal
        if index <= journal.first_index:
            return True
        return index <= journal.synced_index and journal.term_at(index) == term

    def knows(self, peer_id: str) -> bool:
        return self.replica is not None and peer_id in self.replica.known_peers.addresses

    @property
    def membership(self) -> Membership:
        """The one in its log; it is up."""
        return self._up().electorate.membership

    @property
    def voters(self) -> tuple[str, ...]:
        return tuple(one.node_id for one in self.membership.members if not one.learner)

    def uncommitted_changes(self) -> int:
        known, index = self._up().journal.memberships, self._up().journal.last_index
        count = 0
        while index > self.commit_index:
            index = known.at(index).index
            if index > self.commit_index:
                count, index = count + 1, index - 1
        return count

    @property
    def members(self) -> tuple[str, ...]:
        return self.membership.ids

    def age_s(self) -> float | None:
        age_ms = self.replica.age_ms() if self.replica is not None else None
        return None if age_ms is None else age_ms / 1000

    def takes_part(self) -> bool:
        """Whether it votes: a node with a new disk does not at first."""
        return self.replica is not None and self.replica.admission.votes

    def stored_vote(self) -> tuple[int, str | None]:
        path = f"{DIRECTORY}/vote"
        data = self.disk.durable(path)
        if data is None:
            return 0, None
        survivor = SimDisk()
        survivor.mkdir(DIRECTORY)
        survivor.put(path, data)
        vote = VoteFile(survivor, path).load()
        return (vote.term, vote.voted_for) if vote is not None else (0, None)

    def rot(self, where: float) -> bool:
        """In a sealed segment (the end of the last one may be torn), a snapshot or the vote."""
        files = self.disk.paths()
        segments = [path for path in files if path.endswith(".wal")][:-2]
        snapshots = [path for path in files if "/snapshots/" in path and ".tmp" not in path][-1:]
        votes = [path for path in files if path.endswith("/vote")]
        candidates = segments + snapshots + votes
        if not candidates:
            return False
        chosen = candidates[int(where * len(candidates))]
        if chosen in votes:
            return self._rot_vote(chosen, where)
        bits = len(self.disk.get(chosen)) * 8
        self.disk.flip_bit(chosen, int(where * 7919 * bits) % bits)
        return True

    def _rot_vote(self, path: str, where: float) -> bool:
        """In one of its copies, which has to be of no effect, or in both."""
        data = self.disk.get(path)
        both = int(where * 7919) % 2 == 0 or data[:COPY_BYTES] != data[COPY_BYTES:]
        for start in (0, COPY_BYTES) if both else (int(where * 104_729) % 2 * COPY_BYTES,):
            bits = len(data[start : start + COPY_BYTES].rstrip(b"\0")) * 8
            self.disk.flip_bit(path, start * 8 + int(where * 7919 * bits) % bits)
        return both


class _SnapshotJobs:
    """A `SnapshotWorker`: jobs one after the other, some time later."""

    def __init__(self, node: HardenedNode, store: SnapshotStore) -> None:
        self._node = node
        self._store = store
        self._jobs: deque[tuple[Callable[[SnapshotStore], Any], Callable[[Any], None]]] = deque()

    def run(self, job: Callable[[SnapshotStore], Any], done: Callable[[Any], None]) -> None:
        self._jobs.append((job, done))
        if len(self._jobs) == 1:
            self._node.later(0.0005, self._next)

    def _next(self) -> None:
        self._node.guard(self._carry_out)

    def _carry_out(self) -> None:
        job, done = self._jobs[0]
        result: Any
        try:
            result = job(self._store)
        except (SimulatedCrash, FatalReplicaError):
            raise
        except Exception as error:
            result = error
        self._jobs.popleft()
        if self._jobs:
            self._node.later(0.0005, self._next)
        done(result)
