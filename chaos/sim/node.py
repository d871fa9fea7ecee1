"""One simulated node: the real replica, filter, engine, journal, vote file and snapshot store, on a
simulated disk. What differs from a real node is only who turns the crank."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from chaos.sim.clock import SimClock
from chaos.sim.disk import SimDisk, SimulatedCrash
from chaos.sim.machine import LogMachine
from coord.journal import DiskFullError, SnapshotStore
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.loading import restore
from coord.replication.messages import Message
from coord.replication.replica import Replica
from coord.replication.settings import ReplicaSettings
from coord.replication.write_ops import WriteOp

TICK_S = 0.02
SEGMENT_BYTES = 4096
DISK_RETRY_S = 0.2


class SimObserver(Protocol):
    """Who watches the nodes."""

    def node_applied(self, node: SimNode, index: int, term: int, result: object) -> None: ...
    def node_caught_up(self, node: SimNode, index: int) -> None: ...
    def node_changed(self, node: SimNode) -> None: ...
    def node_sends(self, node: SimNode, peer_id: str, message: Message) -> bool: ...
    def node_failed(self, node: SimNode, error: BaseException) -> None: ...
    def node_crashed(self, node: SimNode) -> None: ...


class SimNode:
    """A node that can be started, killed and started again. Between runs only its disk stays."""

    def __init__(
        self,
        node_id: str,
        peers: list[str],
        clock: SimClock,
        rng: Random,
        settings: ReplicaSettings,
        observer: SimObserver,
    ) -> None:
        self.node_id = node_id
        self.disk = SimDisk()
        self.machine = LogMachine()
        self.replica: Replica | None = None
        self.run = 0  # counts starts; what an earlier run left behind is void
        self.sync_delay_s = 0.001
        self._peers = peers
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._observer = observer
        self._storage: OpenStorage | None = None
        self._queue: deque[tuple[int, WriteOp]] = deque()
        self._writing = False

    @property
    def alive(self) -> bool:
        return self.replica is not None

    def start(self) -> None:
        """Recover from the disk and take part."""
        self.run += 1
        self._queue.clear()
        self._writing = False
        run = self.run
        try:
            storage = open_storage(
                "/node", "sim", self.node_id, wall_ms=0, fs=self.disk, segment_bytes=SEGMENT_BYTES
            )
            self._storage = storage
            self.machine = LogMachine()
            if storage.boot.snapshot is not None:
                restore(self.machine, storage.snapshots, storage.boot.snapshot)
        except (SimulatedCrash, DiskFullError):
            self.replica = None
            self._observer.node_crashed(self)
            return
        self.replica = Replica(
            self.node_id,
            self._peers,
            self._settings,
            storage.boot,
            self.machine,
            self,
            _SimWorker(self, storage.snapshots),
            self._rng,
        )
        self._tick(run)

    def kill(self, *, power_loss: bool) -> None:
        """End the run at once. With the power, unsynced data is lost as well."""
        self.replica = None
        self.run += 1
        if power_loss:
            self.disk.crash(self._rng)
        else:
            self.disk.revive()

    def call(self, action: Callable[[Replica], Any]) -> Any:
        """Do something with the replica, if the node is up; whatever it raises ends the node."""
        replica = self.replica
        if replica is None:
            return None
        try:
            result = action(replica)
        except SimulatedCrash:
            self._observer.node_crashed(self)
            return None
        except Exception as error:
            self.failed(error)
            return None
        return result

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do it then, if this run of the node still lasts."""
        run = self.run

        def act() -> None:
            if self.run == run and self.alive:
                action()

        self._clock.after(delay_s, act)

    # ReplicaPorts

    def now(self) -> float:
        return self._clock.now

    def wall_ms(self) -> int:
        return int(self._clock.now * 1000)

    def send(self, peer_id: str, message: Message) -> bool:
        return self._observer.node_sends(self, peer_id, message)

    def write(self, sequence: int, operation: WriteOp) -> None:
        self._queue.append((sequence, operation))
        if not self._writing:
            self._writing = True
            self.later(self._rng.uniform(0, self.sync_delay_s), self._write)

    def applied(self, index: int, term: int, result: object) -> None:
        self._observer.node_applied(self, index, term, result)

    def applied_by_snapshot(self, index: int) -> None:
        self._observer.node_caught_up(self, index)

    def changed(self) -> None:
        self._observer.node_changed(self)

    def failed(self, error: BaseException) -> None:
        self.replica = None
        self.run += 1
        self._observer.node_failed(self, error)

    # Turning the crank

    def _tick(self, run: int) -> None:
        if self.run != run:
            return
        self.call(lambda replica: replica.tick())
        self.call(lambda replica: replica.step_snapshot())
        self.later(TICK_S, lambda: self._tick(run))

    def _write(self) -> None:
        self._on_disk(self._carry_out)

    def _carry_out(self) -> None:
        assert self._storage is not None
        try:
            done = self._storage.writer.carry_out(self._queue)
        except DiskFullError:
            self._storage.writer.sync()
            self._set_blocked("DISK_FULL")
            self.later(DISK_RETRY_S, self._write)
            return
        self._set_blocked(None)
        self.later(
            self._rng.uniform(0.0001, self.sync_delay_s),
            lambda: self._on_disk(lambda: self._sync(done)),
        )

    def _set_blocked(self, reason: str | None) -> None:
        if self.replica is not None:
            self.replica.write_block_reason = reason

    def _sync(self, done: int) -> None:
        assert self._storage is not None
        self._storage.writer.sync()
        self._writing = False
        if self._queue:
            self._writing = True
            self.later(0, self._write)
        self.call(lambda replica: replica.synced(done))

    def _on_disk(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SimulatedCrash:
            self._observer.node_crashed(self)
        except Exception as error:
            self.failed(error)


class _SimWorker:
    """Snapshot jobs, one after the other, some time later."""

    def __init__(self, node: SimNode, store: SnapshotStore) -> None:
        self._node = node
        self._store = store
        self._jobs: deque[tuple[Callable[[SnapshotStore], Any], Callable[[Any], None]]] = deque()

    def run(self, job: Callable[[SnapshotStore], Any], done: Callable[[Any], None]) -> None:
        self._jobs.append((job, done))
        if len(self._jobs) == 1:
            self._node.later(0.0005, self._next)

    def _next(self) -> None:
        job, done = self._jobs[0]
        result: Any
        try:
            result = job(self._store)
        except SimulatedCrash:
            self._node.call(_raise_crash)
            return
        except Exception as error:
            result = error
        self._jobs.popleft()
        if self._jobs:
            self._node.later(0.0005, self._next)
        self._node.call(lambda _: done(result))


def _raise_crash(_: Replica) -> None:
    raise SimulatedCrash("in a snapshot job")
