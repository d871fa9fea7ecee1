"""The turns, timers and outcomes of a simulated node: what asyncio's loop is to a real one.

Timers go by the node's own clock, a stalled node's callbacks wait until it goes on, and those of an
earlier run are void.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

Callback = Callable[[], object]


class NodeTime(Protocol):
    """What the scheduler needs of its node."""

    def local_now(self) -> float: ...
    def later(self, delay_s: float, action: Callable[[], None]) -> None: ...
    def guard(self, action: Callback) -> Any: ...


class SimOutcome:
    """Ends once, as `asyncio.Future` does; callbacks run in a later turn."""

    def __init__(self, call_soon: Callable[[Callback], object]) -> None:
        self._call_soon = call_soon
        self._done = self._cancelled = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[SimOutcome], object]] = []

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return self._cancelled

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result

    def exception(self) -> BaseException | None:
        return self._error

    def set_result(self, result: Any, /) -> None:
        self._result = result
        self._end()

    def set_exception(self, exception: BaseException, /) -> None:
        self._error = exception
        self._end()

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if not self._done:
            self._cancelled = True
            self._end()

    def add_done_callback(self, callback: Callable[[SimOutcome], object], /) -> None:
        if self._done:
            self._call_soon(partial(callback, self))
        else:
            self._callbacks.append(callback)

    def _end(self) -> None:
        if self._done:
            raise RuntimeError("an outcome was told twice")
        self._done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._call_soon(partial(callback, self))


class SimTimer:
    """A callback that is still to come."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callback) -> None:
        self._callback: Callback | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        """Its time has come."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class NodeScheduler:
    """A `coord.runtime.scheduler.Scheduler` on the clock of a simulated node."""

    def __init__(self, node: NodeTime) -> None:
        self._node = node

    def time(self) -> float:
        return self._node.local_now()

    def call_soon(self, callback: Callback, /) -> None:
        self._node.later(0, lambda: self._node.guard(callback))

    def call_at(self, when: float, callback: Callback, /) -> SimTimer:
        timer = SimTimer(callback)
        delay_s = max(0.0, when - self.time())
        self._node.later(delay_s, lambda: self._node.guard(timer.fire))
        return timer

    def create_future(self) -> SimOutcome:
        return SimOutcome(self.call_soon)
