"""Making write operations durable beside the event loop: one thread, whole groups per fdatasync.

Everything that queued up while the thread was syncing is written and synced together next (group
commit), so the rate of entries does not depend on the latency of the disk. A full disk stops the
queue, not the node: what could not be written stays queued and is tried again, and nothing behind
it is reported as durable. Any other failure ends the node.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from coord.journal import DiskFullError, SnapshotStore
from coord.replication.storage_ops import LogWriter
from coord.replication.write_ops import WriteOp

DISK_RETRY_S = 0.25


class LogStorage:
    """Feeds a `LogWriter` from its own thread. All methods and callbacks are on the event loop.

    `on_synced(sequence)`: all operations up to it are durable. `on_blocked(True)`: the disk is
    full; False: it has taken everything again. `on_failed(error)`: the node has to stop."""

    def __init__(
        self,
        writer: LogWriter,
        on_synced: Callable[[int], None],
        on_blocked: Callable[[bool], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._writer = writer
        self._on_synced = on_synced
        self._on_blocked = on_blocked
        self._on_failed = on_failed
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="coord-journal")
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[int, WriteOp]] = deque()
        self._running: asyncio.Future[Any] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._blocked = False
        self._stopped = False

    def write(self, sequence: int, operation: WriteOp) -> None:
        """Queue an operation; it is begun within this turn of the loop."""
        self._queue.append((sequence, operation))
        if not self._scheduled and self._running is None and self._retry is None:
            self._scheduled = True
            self._loop.call_soon(self._begin)

    async def stop(self) -> None:
        """Finish what is queued (unless the disk is full) and end the thread. Idempotent."""
        if not self._stopped and self._retry is None:
            while self._queue or self._running is not None:
                if self._running is None:
                    self._begin()
                if self._running is None or self._retry is not None:
                    break
                await asyncio.wait([self._running])
                await asyncio.sleep(0)
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._running is not None:
            await asyncio.wait([self._running])
        await self._loop.run_in_executor(None, self._executor.shutdown)

    def _begin(self) -> None:
        self._scheduled = False
        if self._stopped or self._running is not None or not self._queue:
            return
        group = deque(self._queue)
        self._queue.clear()
        self._running = self._loop.run_in_executor(
            self._executor, _write_group, self._writer, group
        )
        self._running.add_done_callback(lambda future: self._ended(future, group))

    def _ended(self, future: asyncio.Future[Any], rest: deque[tuple[int, WriteOp]]) -> None:
        """`rest`: what of the group could not be written."""
        self._running = None
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._stopped = True
            self._on_failed(error)
            return
        done, full = future.result()
        self._queue.extendleft(reversed(rest))
        self._set_blocked(full)
        if full and not self._stopped:
            self._retry = self._loop.call_later(DISK_RETRY_S, self._try_again)
        elif self._queue:
            self._begin()
        if done:
            self._on_synced(done)

    def _try_again(self) -> None:
        self._retry = None
        self._begin()

    def _set_blocked(self, blocked: bool) -> None:
        if blocked != self._blocked:
            self._blocked = blocked
            self._on_blocked(blocked)


def _write_group(writer: LogWriter, group: deque[tuple[int, WriteOp]]) -> tuple[int, bool]:
    """On the thread: the last operation that is durable now (0: none), whether the disk is full."""
    last = group[-1][0]
    full = False
    try:
        writer.carry_out(group)
    except DiskFullError:
        last = group[0][0] - 1
        full = True
    writer.sync()
    return last, full


class SnapshotThread:
    """A `SnapshotWorker` with a thread of its own, so that a large snapshot's sync delays no
    append. Callbacks come on the event loop; `on_failed` hears what one of them raises."""

    def __init__(self, store: SnapshotStore, on_failed: Callable[[BaseException], None]) -> None:
        self._store = store
        self._on_failed = on_failed
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="coord-snapshot")
        self._loop = asyncio.get_running_loop()
        self._stopped = False

    def run(self, job: Callable[[SnapshotStore], Any], done: Callable[[Any], None]) -> None:
        """See `SnapshotWorker`; after `stop` nothing is run or called back."""
        if self._stopped:
            return
        future = self._loop.run_in_executor(self._executor, self._job, job)
        future.add_done_callback(lambda ended: self._ended(ended, done))

    async def stop(self) -> None:
        """Wait for the running job. Idempotent."""
        self._stopped = True
        await self._loop.run_in_executor(None, lambda: self._executor.shutdown(cancel_futures=True))

    def _job(self, job: Callable[[SnapshotStore], Any]) -> Any:
        try:
            return job(self._store)
        except Exception as error:
            return error

    def _ended(self, future: asyncio.Future[Any], done: Callable[[Any], None]) -> None:
        if self._stopped or future.cancelled():
            return
        try:
            done(future.result())
        except Exception as error:
            self._on_failed(error)
