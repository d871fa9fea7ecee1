"""Claims tasks, makes their results, commits them, one call a task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from bench.sustained.book import Book
from bench.sustained.submitter import make_result
from coord.client.transport.errors import CoordError, DefiniteError

SLOTS = 64
CLAIM_WAIT_MS = 1_000
PAUSE_S = 0.05  # after a claim that failed


class WorkApi(Protocol):
    """The part of `coord.client.Tasks` that is used."""

    async def claim(
        self, queues: Sequence[str], *, max_tasks: int = ..., wait_ms: int = ...
    ) -> Sequence[Any]: ...
    async def complete(self, task: Any, result: bytes = ...) -> Any: ...


class Worker:
    """`run` it once, `stop` it: then it ends when nothing is held any more."""

    def __init__(self, tasks: WorkApi, book: Book, queue: str) -> None:
        self._tasks = tasks
        self._book = book
        self._queue = queue
        self._stopping = False
        self._held: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        while not self._stopping:
            if len(self._held) >= SLOTS:
                self._freed.clear()
                await self._freed.wait()
                continue
            for task in await self._claim(SLOTS - len(self._held)):
                held = asyncio.create_task(self._commit(task))
                self._held.add(held)
                held.add_done_callback(self._settled)
        await asyncio.gather(*self._held)

    async def _claim(self, free: int) -> Sequence[Any]:
        """None when that failed: leases that were given out nevertheless run out."""
        try:
            return await self._tasks.claim([self._queue], max_tasks=free, wait_ms=CLAIM_WAIT_MS)
        except CoordError:
            await asyncio.sleep(PAUSE_S)
            return []

    async def _commit(self, task: Any) -> None:
        number, token = int(task.payload), task.fencing_token
        try:
            await self._tasks.complete(task, make_result(number, token))
        except DefiniteError:
            return  # somebody else has it by now
        except CoordError:
            self._book.maybe_committed(number, token, time.monotonic())
        else:
            self._book.committed(number, token, time.monotonic())

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._held.discard(task)
        self._freed.set()
        if not task.cancelled():
            task.result()
