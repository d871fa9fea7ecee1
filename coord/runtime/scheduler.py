"""What the runtime asks of whatever turns the crank: turns, timers and outcomes.

The event loop of asyncio is a `Scheduler` as it is, so a node pays nothing for this seam. The
simulator has one on its own clock, which runs the same proposer, ticker, level keeper and claim
queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Outcome(Protocol[T]):
    """How something ends, once: with a result, with an error, or given up by whoever waits for it.
    `asyncio.Future` is one. Callbacks run in a later turn."""

    def done(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def result(self) -> T: ...
    def exception(self) -> BaseException | None: ...
    def set_result(self, result: T, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...
    def add_done_callback(self, callback: Callable[[Any], object], /) -> None: ...


OutcomeT = TypeVar("OutcomeT", bound=Outcome[Any])
OutcomeT_co = TypeVar("OutcomeT_co", bound=Outcome[Any], covariant=True)


class Timer(Protocol):
    """A callback that is still to come."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """Turns and timers. Times are in seconds, on a clock that never goes back."""

    def time(self) -> float: ...
    def call_soon(self, callback: Callable[[], object], /) -> object:
        """Call back in the next turn, in the order of the calls."""
        ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Call back at that time, or in the next turn if it has passed."""
        ...


class Scheduler(Timers, Protocol[OutcomeT_co]):
    """Timers, and outcomes that somebody waits for."""

    def create_future(self) -> OutcomeT_co: ...
