"""Making write operations durable beside the event loop: one thread, whole groups per fdatasync.

Everything that queued up while the thread was syncing is written and synced together next (group
commit), so the rate of entries does not depend on the latency of the disk. The thread goes on by
itself while there is something to write; the event loop wakes it once per turn and is woken once
per sync. A full disk stops the queue, not the node: what could not be written stays queued and is
tried again, and nothing behind it is reported as durable. Any other failure ends the node.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from coord.journal import DiskFullError, SnapshotStore
from coord.replication.storage.operations import LogWriter, Numbered
from coord.replication.storage.writes import WriteOp

DISK_RETRY_S = 0.25


class LogStorage:
    """Feeds a `LogWriter` from its own thread. All methods and callbacks are on the event loop.

    `on_synced(sequence)`: all operations up to it are durable. `on_vote(sequence)`: so is this one,
    a vote, ahead of what the disk has no room for. `on_blocked(True)`: the disk is full; False: it
    has taken everything again. `on_failed(error)`: the node has to stop."""

    def __init__(
        self,
        writer: LogWriter,
        on_synced: Callable[[int], None],
        on_vote: Callable[[int], None],
        on_blocked: Callable[[bool], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._on_synced = on_synced
        self._on_vote = on_vote
        self._on_blocked = on_blocked
        self._on_failed = on_failed
        self._loop = asyncio.get_running_loop()
        self._turn: list[Numbered] = []  # what this turn of the loop wants written
        self._blocked = False
        self._stopped = False
        self._worker = _LogWorker(writer, self._report)
        self._worker.start()

    def write(self, sequence: int, operation: WriteOp) -> None:
        """Queue an operation; it is begun within this turn of the loop."""
        if not self._turn:
            self._loop.call_soon(self._hand_over)
        self._turn.append((sequence, operation))

    async def stop(self) -> None:
        """Finish what is queued (unless the disk is full) and end the thread. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._hand_over()
            self._worker.groups.put(None)
        await self._loop.run_in_executor(None, self._worker.join)
        await asyncio.sleep(0)  # its last report

    @property
    def finished(self) -> bool:
        """After `stop`: whether everything that was asked for is written and durable."""
        return self._worker.finished

    def _hand_over(self) -> None:
        if self._turn:
            turn, self._turn = self._turn, []
            self._worker.groups.put(turn)

    def _report(self, outcome: _Outcome) -> None:
        """On the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
            self._loop.call_soon_threadsafe(self._ended, outcome)

    def _ended(self, outcome: _Outcome) -> None:
        if isinstance(outcome, BaseException):
            self._on_failed(outcome)
            return
        done, vote, full = outcome
        if full != self._blocked:
            self._blocked = full
            self._on_blocked(full)
        if done:
            self._on_synced(done)
        if vote:
            self._on_vote(vote)


_Outcome = tuple[int, int, bool] | BaseException
"""The last operation that is durable with all before it (0: none), the last vote that is so ahead
of others (0: none), and whether the disk is full; or what went wrong."""


class _LogWorker(Thread):
    """Writes and syncs what comes in `groups`, until None comes. Not waited for at exit: what was
    not synced was promised to nobody."""

    def __init__(self, writer: LogWriter, report: Callable[[_Outcome], None]) -> None:
        super().__init__(name="coord-journal", daemon=True)
        self.groups: SimpleQueue[list[Numbered] | None] = SimpleQueue()
        self._writer = writer
        self._report = report
        self._pending: deque[Numbered] = deque()
        self._ending = False
        self.finished = False

    def run(self) -> None:
        full = False
        try:
            while not self._ending:
                if full:
                    time.sleep(DISK_RETRY_S)
                self._take()
                if self._pending:
                    full = self._write()
            self.finished = not self._pending
        except BaseException as error:  # whatever it is, nothing may count as durable after it
            self._report(error)

    def _take(self) -> None:
        """Everything there is; wait only if there is nothing to do."""
        try:
            group = self.groups.get(block=not self._pending)
            while group is not None:
                self._pending += group
                group = self.groups.get_nowait()
            self._ending = True
        except Empty:
            return

    def _write(self) -> bool:
        """Whether the disk is full."""
        last = self._pending[-1][0]
        vote, full = 0, False
        try:
            self._writer.carry_out(self._pending)
        except DiskFullError:
            last = self._pending[0][0] - 1
            vote, full = self._writer.store_vote_ahead(self._pending), True
        self._writer.sync()
        self._report((last, vote, full))
        return full


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
