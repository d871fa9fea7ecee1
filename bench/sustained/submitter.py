"""Hands tasks over at a steady rate, whatever becomes of them, and looks at the end of each.

The end must be looked at while the cluster still keeps finished tasks, so it is done all along:
tasks wait together for a moment and are then asked for in one call.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.load import arrivals, paced
from bench.sustained.book import Book
from coord.client.transport.errors import CoordError, DefiniteError, NotFoundError

LOOK_EVERY_S = 0.5
LOOK_AT_ONCE = 16
LOOK_TASKS = 256
LOOK_MS = 20_000
PAYLOAD_BYTES = 100

# The task's number, its id
Accepted = tuple[int, str]


class SubmitApi(Protocol):
    """The part of `coord.client.Tasks` that is used."""

    async def submit(self, queue: str, payload: bytes = ...) -> Any: ...
    async def wait(
        self, task_ids: Sequence[str], *, omit_payload: bool = ..., timeout_ms: int | None = ...
    ) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """`drain_s`: how long after the last submit tasks may take to end."""

    queue: str
    rate: float
    duration_s: float
    drain_s: float
    seed: int = 1


class Submitter:
    """`run` it once."""

    def __init__(self, tasks: SubmitApi, book: Book, plan: Plan) -> None:
        self._tasks = tasks
        self._book = book
        self._plan = plan
        self._unseen: deque[Accepted] = deque()
        self._looks: set[asyncio.Task[None]] = set()
        self._all_handed_over = False
        # Made before the clock starts: there may be millions.
        self._moments = arrivals(plan.rate, plan.duration_s, plan.seed)

    async def run(self) -> None:
        """Returns when every accepted task has been seen at its end, or `drain_s` is over: what
        is not in the book then has not ended."""
        plan = self._plan
        looking = asyncio.create_task(self._look_again_and_again())
        zero = time.monotonic()

        async def submit(number: int, due_s: float) -> None:
            await self._submit(number, zero + due_s)

        try:
            await paced(self._moments, submit, plan.drain_s)
            self._all_handed_over = True
            await asyncio.wait({looking}, timeout=plan.drain_s)
        finally:
            for task in (looking, *self._looks):
                task.cancel()
            await asyncio.gather(looking, *self._looks, return_exceptions=True)
        if not looking.cancelled():
            looking.result()

    async def _submit(self, number: int, due: float) -> None:
        payload = str(number).encode().ljust(PAYLOAD_BYTES)
        try:
            task = await self._tasks.submit(self._plan.queue, payload)
        except DefiniteError:
            self._book.refused(number)
        except CoordError:
            self._book.unsure(number)
        else:
            self._book.submitted(number, due, time.monotonic())
            self._unseen.append((number, task.task_id))

    async def _look_again_and_again(self) -> None:
        while self._unseen or self._looks or not self._all_handed_over:
            await asyncio.sleep(LOOK_EVERY_S)
            while self._unseen and len(self._looks) < LOOK_AT_ONCE:
                some = [self._unseen.popleft() for _ in range(min(LOOK_TASKS, len(self._unseen)))]
                task = asyncio.create_task(self._look(some))
                self._looks.add(task)
                task.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looks.discard(task)
        if not task.cancelled():
            task.result()

    async def _look(self, some: Sequence[Accepted]) -> None:
        """Writes down the ends; what has not ended, or could not be asked for, is asked again."""
        ids = [task_id for _, task_id in some]
        try:
            found = await self._tasks.wait(ids, omit_payload=True, timeout_ms=LOOK_MS)
        except NotFoundError:
            if len(some) == 1:
                self._book.gone(some[0][0])
                return
            half = len(some) // 2
            await self._look(some[:half])
            await self._look(some[half:])
            return
        except CoordError:
            self._unseen.extend(some)
            return
        for accepted, task in zip(some, found, strict=True):
            if task.finished:
                number, token = read_result(task.result)
                # Another task's result is nobody's.
                own = token if number == accepted[0] else -1
                self._book.ended(accepted[0], task.state.name, own)
            else:
                self._unseen.append(accepted)


def make_result(number: int, token: int) -> bytes:
    """What a worker commits: whose result it is, and under which lease it was made."""
    return f"{number}:{token}".encode().ljust(PAYLOAD_BYTES)


def read_result(result: bytes) -> tuple[int, int]:
    """Number and token; (-1, -1) for what no worker of this benchmark has made."""
    number, _, token = result.decode("ascii", errors="replace").strip().partition(":")
    if not (number.isdigit() and token.isdigit()):
        return -1, -1
    return int(number), int(token)
