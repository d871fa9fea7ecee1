"""The `Replicator` of a real node: a replica with its event loop, its network and its disk.

`ReplicaDriver` drives the replica, `Requests` takes what callers ask, `PeerLinks` keeps the
connections; here are the node's start, end and failure, and what it shows of itself. Whatever the
replica raises stops the node: it is not asked anything again, and `on_fatal` tells the owner.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from random import Random

import structlog

from coord.journal import FileSystem, OsFileSystem
from coord.ratelimit import LogLimiter
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.callers import Callers
from coord.replication.directory_watch import watch_directory
from coord.replication.driver import ReplicaDriver
from coord.replication.levels import Levels
from coord.replication.loading import load_in_thread
from coord.replication.node_ports import NodePorts
from coord.replication.peer_links import PeerLinks, check_own_level
from coord.replication.port import ReplicaStatus, StateMachine
from coord.replication.problem_log import ProblemLog
from coord.replication.replica import Replica
from coord.replication.replica_status import status_before_start, status_of
from coord.replication.requests import Requests
from coord.replication.responsive_clock import ResponsiveClock
from coord.replication.settings import ReplicationConfig
from coord.replication.storage.storage import LogStorage, SnapshotThread

log = structlog.get_logger(__name__)

INCARNATION_BITS = 62


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
        self._wall = wall
        self._clock = ResponsiveClock(clock, config.tick_s * 3)
        self._log = log.bind(node_id=config.self_id)
        self._limiter = LogLimiter(clock, burst=20, interval_s=2.0)
        self._problems = ProblemLog(self._log, self._limiter, clock)
        self._levels = Levels(config.replica.highest_level)
        self._run_id = secrets.token_hex(8)
        self._callers = Callers()
        self._driver = ReplicaDriver(
            self._clock, config.tick_s, self._callers, self.fail, self._log
        )
        self._storage: OpenStorage | None = None
        self._log_storage: LogStorage | None = None
        self._snapshot_thread: SnapshotThread | None = None
        self._links: PeerLinks | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        self._failure: BaseException | None = None
        self._role_callbacks: list[Callable[[ReplicaStatus], None]] = []
        self._fatal_callbacks: list[Callable[[BaseException], None]] = []
        requests = Requests(self._driver, self._callers, self._log)
        self.propose = requests.propose
        self.read_barrier = requests.read_barrier
        self.wait_applied = requests.wait_applied
        self.change_members = requests.change_members
        self.transfer_leadership = requests.transfer_leadership

    # Start, end and failure

    async def start(self) -> None:
        """Recover, then take part. Raises DataDirectoryError, StorageDamagedError, DiskFullError,
        SyncFailedError, SnapshotUnusableError, or OSError if the peer address is taken."""
        try:
            storage = await self._recover()
            await self._take_part(storage)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """See `Replicator.stop`."""
        first, self._stopped = not self._stopped, True
        self._driver.detach()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for part in (self._links, self._log_storage, self._snapshot_thread):
            if part is not None:
                await part.stop()
        storage, self._storage = self._storage, None
        if storage is not None:
            await self._close(storage)
        if first:
            self._give_up_all("the node stopped")

    async def _recover(self) -> OpenStorage:
        opening = asyncio.get_running_loop().run_in_executor(None, self._open)
        try:
            self._storage = storage = await asyncio.shield(opening)
        except asyncio.CancelledError:
            self._storage = await opening
            raise
        if storage.boot.snapshot is not None:
            await load_in_thread(self._machine, storage.snapshots, storage.boot.snapshot)
        check_own_level(self._levels)
        return storage

    def _open(self) -> OpenStorage:
        config = self._config
        return open_storage(
            config.data_dir,
            config.cluster_id,
            config.self_id,
            wall_ms=self._wall_ms(),
            incarnation=self._rng.getrandbits(INCARNATION_BITS),
            fs=self._fs,
            segment_bytes=config.segment_bytes,
            reserve_bytes=config.reserve_bytes,
            run_id=self._run_id,
        )

    async def _take_part(self, storage: OpenStorage) -> None:
        config, driver = self._config, self._driver
        self._log_storage = LogStorage(
            storage.writer, driver.on_synced, driver.on_vote_stored, driver.on_blocked, self.fail
        )
        self._snapshot_thread = SnapshotThread(storage.snapshots, self.fail)
        self._links = links = PeerLinks(
            config,
            storage,
            driver,
            self._levels,
            self._run_id,
            self._wall_ms,
            self.fail,
            self._log,
            self._limiter,
        )
        driver.step_clock()
        replica = Replica(
            config.self_id,
            config.members,
            config.replica,
            storage.boot,
            self._machine,
            self._ports(links, self._log_storage),
            self._snapshot_thread,
            self._rng,
            self._levels,
        )
        driver.attach(replica, links.transport)
        links.transport.set_peers(replica.known_peers.addresses)
        await links.transport.start()
        self._tasks = [
            asyncio.create_task(driver.tick_forever(self._problems), name="replica-tick"),
            asyncio.create_task(watch_directory(storage.check_in_place, self.fail)),
        ]

    def _ports(self, links: PeerLinks, log_storage: LogStorage) -> NodePorts:
        return NodePorts(
            self._driver,
            self._callers,
            links.transport,
            log_storage,
            self._wall_ms,
            self._tell_role,
            links.talk_to,
            self.fail,
        )

    async def _close(self, storage: OpenStorage) -> None:
        written = self._log_storage is None or self._log_storage.finished
        if written and self._failure is None:
            await asyncio.get_running_loop().run_in_executor(None, storage.note_clean_stop)
        storage.close()

    def fail(self, error: BaseException) -> None:
        """Stop taking part, at once and for good."""
        if self._failure is not None or self._stopped:
            return
        self._failure = error
        self._driver.detach()
        self._log.error("replica_failed", error=str(error), error_type=type(error).__name__)
        self._give_up_all("the node stopped itself")
        if self._links is not None:
            self._links.close()
        for callback in self._fatal_callbacks:
            callback(error)

    def _give_up_all(self, why: str) -> None:
        """This node takes no part any more."""
        self._callers.give_up_proposers(why)
        if self._driver.replica is not None:
            self._driver.replica.leading.reads.fail_all()
        self._callers.give_up_readers(why)

    # What it shows

    def age_ms(self) -> int | None:
        """See `Replicator.age_ms`."""
        replica = self._driver.replica
        return replica.age_ms() if replica is not None else None

    @property
    def write_block_reason(self) -> str | None:
        """See `Replicator.write_block_reason`."""
        replica = self._driver.replica
        return None if replica is None else replica.leading.write_block_reason

    @property
    def growth_block_reason(self) -> str | None:
        """See `Replicator.growth_block_reason`."""
        replica = self._driver.replica
        return None if replica is None else replica.snapshots.why_nothing_grows

    @property
    def member_levels(self) -> dict[str, int | None]:
        """See `Replicator.member_levels`."""
        replica, own = self._driver.replica, self._config
        members = replica.electorate.membership.members if replica is not None else own.members
        return self._levels.of(own.self_id, (member.node_id for member in members))

    def require_level(self, level: int) -> None:
        """See `Replicator.require_level`. Before `start` it is only noted."""
        if level <= self._levels.required:
            return
        if self._links is None:
            self._levels.require(level)
        else:  # later: connections that end are reported to the replica, which may be at work now
            self._driver.running_loop().call_soon(self._links.require_level, level)

    def status(self) -> ReplicaStatus:
        """See `Replicator.status`."""
        replica, links = self._driver.replica, self._links
        if replica is None or links is None:
            return status_before_start(self._config)
        serving = self._driver.active is not None
        return status_of(replica, links.transport, self._clock.now(), serving=serving)

    def on_role_change(self, callback: Callable[[ReplicaStatus], None]) -> None:
        """See `Replicator.on_role_change`."""
        self._role_callbacks.append(callback)

    def on_fatal(self, callback: Callable[[BaseException], None]) -> None:
        """See `Replicator.on_fatal`."""
        self._fatal_callbacks.append(callback)

    @property
    def peer_port(self) -> int:
        """The port that peers are listened for on. Only after `start`."""
        if self._links is None:
            raise RuntimeError("the replicator is not started")
        return self._links.transport.listen_port

    def _tell_role(self) -> None:
        status = self.status()
        for callback in self._role_callbacks:
            callback(status)

    def _wall_ms(self) -> int:
        return int(self._wall() * 1000)
