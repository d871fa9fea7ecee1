"""The `Replicator` of a real node: a replica, driven by the event loop, the network and the disk.

One timer ticks the replica; messages, connections and finished writes call it as they come. What
was proposed within one turn of the loop leaves together at its end. Whatever the replica raises
stops the node: it is not asked anything again, and `on_fatal` tells the owner.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import structlog

from coord.journal import FileSystem, OsFileSystem, SnapshotMeta, SnapshotStore
from coord.ratelimit import LogLimiter
from coord.replication.background import rest_s
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.callers import Callers
from coord.replication.complaints import Complaints
from coord.replication.directory_watch import watch_directory
from coord.replication.errors import CopiedDirectoryError, LevelTooHighError
from coord.replication.levels import Levels
from coord.replication.loading import load
from coord.replication.messages import InvalidMessageError, Message
from coord.replication.peers.runs import COPY_ADVICE, OwnRun, PeerRuns
from coord.replication.peers.runs_keeper import RunsKeeper
from coord.replication.peers.transport import PeerTransport
from coord.replication.port import (
    Member,
    MembershipChange,
    NotLeaderError,
    OutcomeUnknownError,
    ReplicaStatus,
    ReplicationError,
    Role,
    StateMachine,
    WriteBlock,
    WriteBlockedError,
)
from coord.replication.replica import Replica
from coord.replication.replica_status import status_before_start, status_of
from coord.replication.responsive_clock import ResponsiveClock, seconds_passed
from coord.replication.settings import ReplicationConfig
from coord.replication.storage.storage import LogStorage, SnapshotThread
from coord.replication.storage.writes import WriteOp

log = structlog.get_logger(__name__)

INCARNATION_BITS = 62
APPLY_PAUSE_S = 0.001  # in which a follower writes the entry that told it of the commit
SPUR_S = 0.005  # how soon it is looked whether a majority takes long
BACKLOG_ENTRIES = 64  # with so many to apply there is no time to lose


class PySyncObjReplicator:
    """See `Replicator`. `machine` is restored by `start` and then fed in log order."""

    def __init__(
        self,
        config: ReplicationConfig,
        machine: StateMachine,
        *,
        fs: FileSystem | None = None,
        rng: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._machine = machine
        self._fs = fs or OsFileSystem()
        self._rng = rng or Random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._real_clock = clock
        self._clock = ResponsiveClock(clock, config.tick_s * 3)
        self._now = self._clock.now()
        self._wall = wall
        self._log = log.bind(node_id=config.self_id)
        self._levels = Levels(config.replica.highest_level)
        self._replica: Replica | None = None
        self._storage: OpenStorage | None = None
        self._log_storage: LogStorage | None = None
        self._snapshot_thread: SnapshotThread | None = None
        self._transport: PeerTransport | None = None
        self._runs_keeper: RunsKeeper | None = None
        self._run_id = secrets.token_hex(8)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None
        self._marking: asyncio.Future[None] | None = None
        self._callers = Callers()
        self._flush_scheduled = False
        self._work_scheduled = False
        self._spur_scheduled = False
        self._background_due = 0.0  # when the next slice of a snapshot or digest may be taken
        self._stopped = False
        self._failure: BaseException | None = None
        self._limiter = LogLimiter(clock, burst=20, interval_s=2.0)
        self._complaints = Complaints(self._log, self._limiter, clock)
        self._role_callbacks: list[Callable[[ReplicaStatus], None]] = []
        self._fatal_callbacks: list[Callable[[BaseException], None]] = []

    # Replicator

    async def start(self) -> None:
        """Recover, then take part. Raises DataDirectoryError, StorageDamagedError, DiskFullError,
        SyncFailedError, SnapshotUnusableError, or OSError if the peer address is taken."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """See `Replicator.stop`."""
        first, self._stopped = not self._stopped, True
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ending in (self._closing, self._marking):
            if ending is not None:
                await ending
        if self._transport is not None:
            await self._transport.stop()
        if self._runs_keeper is not None:
            await self._runs_keeper.stop()
        if self._log_storage is not None:
            await self._log_storage.stop()
        if self._snapshot_thread is not None:
            await self._snapshot_thread.stop()
        storage, self._storage = self._storage, None
        if storage is not None:
            written = self._log_storage is None or self._log_storage.finished
            if written and self._failure is None:
                await asyncio.get_running_loop().run_in_executor(None, storage.note_clean_stop)
            storage.close()
        if first:
            self._give_up_all("the node stopped")

    def propose(self, data: bytes) -> asyncio.Future[object]:
        """See `Replicator.propose`. ValueError for too large an entry."""
        replica = self._usable()
        index, term = self._guarded(lambda: replica.propose(data))
        return self._expect(index, term)

    async def read_barrier(self) -> int:
        """See `Replicator.read_barrier`."""
        replica = self._usable()
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

        def done(index: int | None) -> None:
            if not future.done():
                future.set_result(index)

        self._guarded(lambda: replica.read(done))
        self._schedule_flush()
        index = await future
        if index is None and replica.leading.reads_wait_for_room:
            raise WriteBlockedError(WriteBlock.DISK_FULL)
        if index is None:
            raise NotLeaderError(replica.engine.leader_id)
        await self.wait_applied(index)
        return replica.engine.applied_index

    async def wait_applied(self, index: int) -> None:
        """See `Replicator.wait_applied`. Raises ReplicationError if the node stops meanwhile."""
        replica = self._usable()
        if replica.engine.applied_index >= index:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._callers.wait_for(index, waiter)
        await waiter

    async def change_members(self, change: MembershipChange) -> tuple[Member, ...]:
        """See `Replicator.change_members`."""
        replica = self._usable()
        index, term = self._guarded(lambda: replica.change_members(change))
        future = self._expect(index, term)
        self._log.info("members_change_begun", change=str(change), index=index)
        members: tuple[Member, ...] = await future
        return members

    def age_ms(self) -> int | None:
        """See `Replicator.age_ms`."""
        return self._replica.age_ms() if self._replica is not None else None

    async def transfer_leadership(self, target: str | None = None) -> str:
        """See `Replicator.transfer_leadership`."""
        replica = self._usable()
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def done(leader: str | None) -> None:
            if not future.done():
                future.set_result(leader)

        chosen: str = self._guarded(lambda: replica.transfer(target, done))
        leader = await future
        if leader is None or leader != chosen:
            what = f"{leader} took it instead" if leader else "it did not take over in time"
            raise ReplicationError(f"leadership was not transferred to {chosen}: {what}")
        return leader

    @property
    def write_block_reason(self) -> str | None:
        """See `Replicator.write_block_reason`."""
        return None if self._replica is None else self._replica.leading.write_block_reason

    @property
    def member_levels(self) -> dict[str, int | None]:
        """See `Replicator.member_levels`."""
        replica, own = self._replica, self._config
        members = replica.electorate.membership.members if replica is not None else own.members
        return self._levels.of(own.self_id, (member.node_id for member in members))

    def require_level(self, level: int) -> None:
        """See `Replicator.require_level`. Before `start` it is only noted."""
        if level <= self._levels.required:
            return
        if self._transport is None:
            self._levels.require(level)
        else:  # later: connections that end are reported to the replica, which may be at work now
            self._running_loop().call_soon(self._enforce_level, level)

    def _enforce_level(self, level: int) -> None:
        transport = self._transport
        if transport is None or self._stopped or self._failure is not None:
            return
        if level <= self._levels.required:
            return
        try:
            transport.require_level(level)
            self._check_own_level()
        except LevelTooHighError as error:
            self.failed(error)
        else:
            self._log.info("level_required_of_peers", level=level)

    def _check_own_level(self) -> None:
        own, required = self._levels.own, self._levels.required
        if required > own:
            raise LevelTooHighError(
                f"the cluster is at feature level {required}, and this build supports {own} at "
                f"most: install a build that supports level {required} and start this node again; "
                "its data directory is in order"
            )

    @property
    def growth_block_reason(self) -> str | None:
        """See `Replicator.growth_block_reason`."""
        return None if self._replica is None else self._replica.snapshots.why_nothing_grows

    def status(self) -> ReplicaStatus:
        """See `Replicator.status`."""
        if self._replica is None:
            return status_before_start(self._config)
        serving = not self._stopped and self._failure is None
        return status_of(self._replica, self._transport, self._clock.now(), serving=serving)

    def on_role_change(self, callback: Callable[[ReplicaStatus], None]) -> None:
        """See `Replicator.on_role_change`."""
        self._role_callbacks.append(callback)

    def on_fatal(self, callback: Callable[[BaseException], None]) -> None:
        """See `Replicator.on_fatal`."""
        self._fatal_callbacks.append(callback)

    @property
    def peer_port(self) -> int:
        """The port that peers are listened for on. Only after `start`."""
        if self._transport is None:
            raise RuntimeError("the replicator is not started")
        return self._transport.listen_port

    # ReplicaPorts

    def now(self) -> float:
        """Stands still while the replica is at work: it asks many times for each message."""
        return self._now

    def real_now(self) -> float:
        return seconds_passed()

    def wall_ms(self) -> int:
        return int(self._wall() * 1000)

    def send(self, peer_id: str, message: Message) -> bool:
        return self._transport is not None and self._transport.send(peer_id, message)

    def write(self, sequence: int, operation: WriteOp) -> None:
        if self._log_storage is not None:
            self._log_storage.write(sequence, operation)

    def applied(self, index: int, term: int, result: object) -> None:
        self._callers.applied(index, term, result)

    def applied_by_snapshot(self, index: int) -> None:
        self._callers.give_up_proposers("a snapshot replaced the log")

    def changed(self) -> None:
        """Leadership lost means that the fate of what is pending is not known any more here."""
        replica = self._replica
        if replica is None:
            return
        self._callers.leads(replica.engine.term if replica.engine.role is Role.LEADER else -1)
        status = self.status()
        for callback in self._role_callbacks:
            callback(status)

    def peers_changed(self, addresses: Mapping[str, str]) -> None:
        """Later, as connections that end are reported to the replica, which is at work now."""
        asyncio.get_running_loop().call_soon(self._talk_to, dict(addresses))

    def _talk_to(self, addresses: dict[str, str]) -> None:
        if self._transport is not None and not self._stopped and self._failure is None:
            self._limiter.log(self._log.info, "peers_changed", peers=sorted(addresses))
            self._transport.set_peers(addresses)

    def failed(self, error: BaseException) -> None:
        """Stop taking part, at once and for good."""
        if self._failure is not None or self._stopped:
            return
        self._failure = error
        self._log.error("replica_failed", error=str(error), error_type=type(error).__name__)
        self._give_up_all("the node stopped itself")
        if self._transport is not None:  # the others need not wait for a silent node
            closing = self._transport.stop()
            self._closing = asyncio.get_running_loop().create_task(closing)
        for callback in self._fatal_callbacks:
            callback(error)

    # Starting

    async def _start(self) -> None:
        config, loop = self._config, asyncio.get_running_loop()
        opening = loop.run_in_executor(None, self._open)
        try:
            self._storage = storage = await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._storage = await opening
            raise
        if storage.boot.snapshot is not None:
            await self._load(storage.snapshots, storage.boot.snapshot)
        self._check_own_level()
        self._log_storage = LogStorage(
            storage.writer, self._synced, self._vote_stored, self._blocked, self.failed
        )
        self._snapshot_thread = SnapshotThread(storage.snapshots, self.failed)
        own = config.own
        runs = PeerRuns(
            storage.boot.peer_runs, changed=self._peer_runs_changed, wall_ms=self.wall_ms
        )
        self._runs_keeper = RunsKeeper(storage.peer_runs.store, lambda: runs.known, self._log)
        self._transport = PeerTransport(
            config.self_id,
            config.cluster_id,
            self._own_run,
            config.listen_address or own.peer_address,
            on_message=self._on_message,
            on_connected=lambda peer: self._call(lambda replica: replica.connected(peer)),
            on_disconnected=lambda peer: self._call(lambda replica: replica.disconnected(peer)),
            on_refused=lambda peer, members: self._call(
                lambda replica: replica.refused(peer, members)
            ),
            members=lambda: self._replica and self._replica.reconfiguration.farewell(),
            on_copied=self._copied,
            runs=runs,
            levels=self._levels,
        )
        self._clock.step()
        self._now = self._clock.now()
        self._replica = Replica(
            config.self_id,
            config.members,
            config.replica,
            storage.boot,
            self._machine,
            self,
            self._snapshot_thread,
            self._rng,
            self._levels,
        )
        self._transport.set_peers(self._replica.known_peers.addresses)
        await self._transport.start()
        self._tasks = [
            asyncio.create_task(self._tick_forever(), name="replica-tick"),
            asyncio.create_task(watch_directory(storage.check_in_place, self.failed)),
        ]

    def _own_run(self) -> OwnRun:
        own = self._replica.own_run if self._replica is not None else OwnRun(0, is_new=True)
        runs = self._storage.peer_runs.own if self._storage is not None else ()
        return replace(own, run_id=self._run_id, runs=runs)

    def _peer_runs_changed(self) -> None:
        if self._runs_keeper is not None:
            self._runs_keeper.changed()

    def _copied(self, peer_id: str, what: str) -> None:
        """A peer has seen a run of this node that cannot be, or be beside this one."""
        storage = self._storage
        if self._own_run().is_new or storage is None or self._active is None:
            return
        why = f"{peer_id} refuses this node: {what}. {COPY_ADVICE}."
        marking = self._running_loop().run_in_executor(None, storage.mark_copied, why)
        self._marking = asyncio.ensure_future(marking)
        self.failed(CopiedDirectoryError(why))

    async def _load(self, store: SnapshotStore, meta: SnapshotMeta) -> None:
        """In a thread: a large state takes seconds, in which the loop answers signals."""
        loop = asyncio.get_running_loop()
        loading = loop.run_in_executor(None, load, self._machine, store, meta)
        try:
            put_in_place = await asyncio.shield(loading)
        except asyncio.CancelledError:
            await asyncio.wait([loading])
            raise
        put_in_place()

    def _open(self) -> OpenStorage:
        config = self._config
        return open_storage(
            config.data_dir,
            config.cluster_id,
            config.self_id,
            wall_ms=self.wall_ms(),
            incarnation=self._rng.getrandbits(INCARNATION_BITS),
            fs=self._fs,
            segment_bytes=config.segment_bytes,
            reserve_bytes=config.reserve_bytes,
            run_id=self._run_id,
        )

    # Turning the crank

    async def _tick_forever(self) -> None:
        while self._failure is None:
            await asyncio.sleep(self._config.tick_s)
            self._clock.step()
            self._call(lambda replica: replica.tick())
            self._schedule_work()
            if self._replica is not None:
                self._complaints.look_at(self._replica)

    def _on_message(self, peer_id: str, message: Any) -> None:
        """An InvalidMessageError goes on to the transport, which closes the connection."""
        replica = self._active
        if replica is None:
            return
        self._now = self._clock.now()
        try:
            replica.receive(peer_id, message)
        except InvalidMessageError:
            raise
        except Exception as error:
            self.failed(error)
            return
        self._after()

    def _synced(self, sequence: int) -> None:
        self._call(lambda replica: replica.synced(sequence))
        self._send_now()

    def _vote_stored(self, sequence: int) -> None:
        self._call(lambda replica: replica.vote_stored(sequence))

    def _blocked(self, blocked: bool) -> None:
        self._log.warning("disk_full" if blocked else "disk_has_room_again")
        if self._replica is not None:
            self._replica.block_writes(WriteBlock.DISK_FULL if blocked else None)

    def _call(self, action: Callable[[Replica], Any]) -> Any:
        """What the action returns; None where nothing is done any more."""
        replica = self._active
        if replica is None:
            return None
        self._now = self._clock.now()
        try:
            outcome = action(replica)
        except Exception as error:
            self.failed(error)
            return None
        self._after()
        return outcome

    def _after(self) -> None:
        """Wake who waits for an applied index; go on applying what is committed."""
        replica = self._replica
        if replica is None:
            return
        applied = replica.engine.applied_index
        self._callers.wake(applied)
        behind = replica.engine.commit_index - applied
        if behind >= BACKLOG_ENTRIES:
            self._schedule_work()
        elif behind and not self._work_scheduled:
            # The journal's thread, which others wait for, needs the interpreter first.
            self._work_scheduled = True
            self._running_loop().call_later(APPLY_PAUSE_S, self._work)

    def _schedule_work(self) -> None:
        if not self._work_scheduled:
            self._work_scheduled = True
            self._running_loop().call_soon(self._work)

    def _work(self) -> None:
        """A slice of what takes longer: applying a backlog, a snapshot, a digest of the state."""
        self._work_scheduled = False
        replica = self._replica
        if replica is None:
            return
        if replica.engine.applied_index < replica.engine.commit_index:
            self._call(lambda replica: replica.apply())
        loop, began = self._running_loop(), time.perf_counter()
        if began < self._background_due:
            return
        if rest := self._call(lambda replica: replica.step_background()):
            # This is in no hurry: between its slices the loop is for those who wait.
            pause_s = rest_s(began, rest)
            self._background_due = time.perf_counter() + pause_s
            loop.call_later(pause_s, self._schedule_work)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """Asking asyncio for it each time costs a system call."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._call(lambda replica: replica.flush())
        self._send_now()
        replica = self._active
        if not self._spur_scheduled and replica is not None and replica.leading.waits:
            self._spur_scheduled = True
            self._running_loop().call_later(SPUR_S, self._spur)

    def _spur(self) -> None:
        self._spur_scheduled = False
        self._flush()

    def _send_now(self) -> None:
        """What others wait for leaves before anything else is done."""
        if self._transport is not None:
            self._transport.flush()

    # Waiting callers

    def _expect(self, index: int, term: int) -> asyncio.Future[Any]:
        """The result of an entry that was just appended."""
        future: asyncio.Future[Any] = self._running_loop().create_future()
        self._callers.expect(index, term, future)
        self._schedule_flush()
        return future

    def _usable(self) -> Replica:
        if (replica := self._active) is None:
            raise NotLeaderError(None)
        return replica

    @property
    def _active(self) -> Replica | None:
        """The replica, while this node takes part."""
        return None if self._stopped or self._failure is not None else self._replica

    def _guarded(self, action: Callable[[], Any]) -> Any:
        """Refusals go to the caller, everything else is fatal."""
        self._now = self._clock.now()
        try:
            return action()
        except (ReplicationError, ValueError):
            raise
        except Exception as error:
            self.failed(error)
            raise OutcomeUnknownError("the node stopped itself") from error

    def _give_up_all(self, why: str) -> None:
        """This node takes no part any more."""
        self._callers.give_up_proposers(why)
        if self._replica is not None:
            self._replica.leading.reads.fail_all()
        self._callers.give_up_readers(why)
