"""Requests that share a stream, by number: not written yet, or waiting for their answers.

What was not written when the stream ends, or its time is over, was certainly never sent; anything
else is of unknown outcome.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from coord.client.transport.errors import CoordError, DeadlineError, UnavailableError, from_status

Request = TypeVar("Request")
Result = TypeVar("Result")


class Pending(Generic[Request, Result]):
    """The requests of one stream. `queue`: those not written yet, in order; whoever writes takes
    them out."""

    def __init__(self) -> None:
        self.queue: dict[int, Request] = {}
        self._answers: dict[int, asyncio.Future[Result]] = {}

    def __len__(self) -> int:
        """How many have no answer."""
        return len(self._answers)

    def add(self, number: int, request: Request) -> None:
        """To be written. `wait` must follow, and then `drop`."""
        self._answers[number] = asyncio.get_running_loop().create_future()
        self.queue[number] = request

    async def wait(self, number: int, timeout_s: float) -> Result:
        """The result. Raises CoordError."""
        timer = asyncio.get_running_loop().call_later(timeout_s, self._time_is_over, number)
        try:
            return await self._answers[number]
        finally:
            timer.cancel()

    def drop(self, number: int) -> bool:
        """Nobody waits for this one any more. Whether it was written, and not answered."""
        unanswered = self._answers.pop(number, None) is not None
        unwritten = self.queue.pop(number, None) is not None
        return unanswered and not unwritten

    def answer(self, number: int, answer: Any, result: Result) -> None:
        """An answer has come: its `failure`, if it has one, or the result."""
        waiting = self._answers.pop(number, None)
        if waiting is None or waiting.done():
            return
        if answer.HasField("failure"):
            failure = answer.failure
            waiting.set_exception(from_status(failure.code, failure.message, failure.details))
        else:
            waiting.set_result(result)

    def end(self, sent: CoordError, unsent: CoordError | None = None) -> None:
        """The stream has ended: what that means for those that were written, and the others."""
        unsent = unsent or never_sent()
        for number, waiting in self._answers.items():
            if not waiting.done():
                waiting.set_exception((unsent if number in self.queue else sent).copy())
        self._answers.clear()
        self.queue.clear()

    def _time_is_over(self, number: int) -> None:
        waiting = self._answers.get(number)
        if waiting is None or waiting.done():
            return
        if number in self.queue:
            waiting.set_exception(never_sent())
        else:
            message = "no answer in time"
            waiting.set_exception(DeadlineError(message, "DEADLINE_EXCEEDED", retryable=True))


def never_sent() -> CoordError:
    return UnavailableError("no connection could be made", "UNREACHABLE", retryable=True)
