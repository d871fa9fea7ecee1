"""Natural batching: one call of a kind is in flight; what is asked for meanwhile rides together in
the next. An idle client adds no delay, a busy one sends few large requests.

Riders are independent of each other. A batch refused as a whole is split and sent again until the
refusal stands alone, so that one bad item fails only its own rider.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from coord.client.session import TOO_MANY
from coord.client.transport.errors import (
    BusyError,
    ClientClosedError,
    CoordError,
    DeadlineError,
    InvalidArgumentError,
    OutcomeUnknownError,
    ResourceExhaustedError,
    UnavailableError,
)
from coord.client.transport.retry import Deadline

MAX_BATCH_ITEMS = 1_000
MAX_BATCH_BYTES = 2 * 1024 * 1024
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_QUEUED_RIDERS = 20_000

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Rider(Generic[Item, Result]):
    items: Sequence[Item]
    size_bytes: int
    deadline: Deadline
    answer: asyncio.Future[Sequence[Result]]
    sent: bool = False


class Batcher(Generic[Item, Result]):
    """Batches the calls of one kind. `send` makes one call and returns one result per item."""

    def __init__(
        self, send: Callable[[Sequence[Item], Deadline], Awaitable[Sequence[Result]]]
    ) -> None:
        self._send = send
        self._queue: deque[_Rider[Item, Result]] = deque()
        self._queued_bytes = 0
        self._room = asyncio.Event()
        self._driver: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def ask(
        self, items: Sequence[Item], size_bytes: int, deadline: Deadline
    ) -> Sequence[Result]:
        """One result per item. `items` stay together in one call. When the caller is cancelled
        before they were sent, they are not sent."""
        if self._closed or self._queue:
            await self._wait_for_room(size_bytes, deadline)
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[Result]] = loop.create_future()
        rider: _Rider[Item, Result] = _Rider(items, size_bytes, deadline, answer)
        self._queue.append(rider)
        self._queued_bytes += size_bytes
        if self._driver is None or self._driver.done():
            self._driver = loop.create_task(self._drive())
        # A moment longer than the call itself, whose error says more.
        timer = loop.call_later(deadline.remaining_s + 0.1, _time_is_over, rider)
        try:
            return await answer
        finally:
            timer.cancel()
            if not rider.sent:
                self._forget(rider)

    async def close(self) -> None:
        """End with what is under way; calls still waiting fail as never sent."""
        self._closed = True
        closed = ClientClosedError("the client is closed", "CLIENT_CLOSED")
        for rider in tuple(self._queue):
            self._forget(rider)
            _fail(rider, closed)
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.wait({self._driver})

    async def _wait_for_room(self, size_bytes: int, deadline: Deadline) -> None:
        if self._closed:
            raise ClientClosedError("the client is closed", "CLIENT_CLOSED")
        while self._queue and (
            self._queued_bytes + size_bytes > MAX_QUEUED_BYTES
            or len(self._queue) >= MAX_QUEUED_RIDERS
        ):
            self._room.clear()
            try:
                await asyncio.wait_for(self._room.wait(), deadline.remaining_s)
            except TimeoutError:
                raise BusyError(TOO_MANY, "BUSY", retryable=True) from None
            if self._closed:
                raise ClientClosedError("the client is closed", "CLIENT_CLOSED")

    def _forget(self, rider: _Rider[Item, Result]) -> None:
        if rider in self._queue:
            self._queue.remove(rider)
            self._queued_bytes -= rider.size_bytes
            self._room.set()

    async def _drive(self) -> None:
        while self._queue:
            riders = self._take()
            try:
                await self._deliver(riders)
            except asyncio.CancelledError:
                for rider in riders:
                    message = "the client was closed before there was an answer"
                    _fail(rider, OutcomeUnknownError(message, "OUTCOME_UNKNOWN"))
                raise
            except Exception as error:
                for rider in riders:
                    _fail(rider, error)

    def _take(self) -> list[_Rider[Item, Result]]:
        riders: list[_Rider[Item, Result]] = []
        items = size_bytes = 0
        while self._queue:
            rider = self._queue[0]
            items += len(rider.items)
            size_bytes += rider.size_bytes
            if riders and (items > MAX_BATCH_ITEMS or size_bytes > MAX_BATCH_BYTES):
                break
            self._queue.popleft()
            self._queued_bytes -= rider.size_bytes
            rider.sent = True
            riders.append(rider)
        self._room.set()
        return riders

    async def _deliver(self, riders: list[_Rider[Item, Result]]) -> None:
        riders = [rider for rider in riders if not rider.answer.done()]
        if not riders:
            return
        deadline = riders[0].deadline
        for rider in riders[1:]:
            deadline = deadline.later(rider.deadline)
        try:
            results = await self._send([i for r in riders for i in r.items], deadline)
        except (InvalidArgumentError, ResourceExhaustedError) as error:
            if len(riders) == 1 or error.retryable:
                _fail_all(riders, error)
                return
            middle = len(riders) // 2
            await self._deliver(riders[:middle])
            await self._deliver(riders[middle:])
        except CoordError as error:
            _fail_all(riders, error)
        else:
            _distribute(riders, results)


def _fail_all(riders: Sequence[_Rider[Item, Result]], error: CoordError) -> None:
    for rider in riders:
        _fail(rider, error.copy())


def _distribute(riders: Sequence[_Rider[Item, Result]], results: Sequence[Result]) -> None:
    expected = sum(len(rider.items) for rider in riders)
    if len(results) != expected:
        raise RuntimeError(f"{len(results)} results for {expected} items")
    start = 0
    for rider in riders:
        end = start + len(rider.items)
        if not rider.answer.done():
            rider.answer.set_result(results[start:end])
        start = end


def _fail(rider: _Rider[Item, Result], error: BaseException) -> None:
    if not rider.answer.done():
        rider.answer.set_exception(error)
        rider.answer.exception()  # the caller may be gone


def _time_is_over(rider: _Rider[Item, Result]) -> None:
    _fail(rider, _too_late(rider.sent, rider.deadline))


def _too_late(sent: bool, deadline: Deadline) -> CoordError:
    message = f"no answer within {deadline.timeout_ms} ms"
    if sent:
        return DeadlineError(message, "DEADLINE_EXCEEDED", retryable=True)
    return UnavailableError(f"{message}: it was never sent", "DEADLINE_TOO_SHORT", retryable=True)
