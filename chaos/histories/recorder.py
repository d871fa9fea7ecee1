"""Writes down what clients ask and are told, while it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

from chaos.histories.history import NEMESIS, EventType, HistoryEvent
from coord.client.transport.errors import CoordError

T = TypeVar("T")
HANG_GRACE_S = 3.0  # beyond the deadline; this process shares the machine with the cluster


class RefusedError(Exception):
    """The operation certainly did not happen, and that was an answer (a compare that failed)."""


@dataclass(frozen=True, slots=True)
class HungCall:
    """A call that had not ended well after its deadline."""

    process: int
    workload: str
    f: str
    key: str | None
    started_ns: int


class Recorder:
    """A history in the making; `t` counts nanoseconds from the recorder's beginning. With `out`,
    every event is also written there at once."""

    def __init__(
        self, out: TextIO | None = None, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.events: list[HistoryEvent] = []
        self.hung: list[HungCall] = []
        self._out, self._clock_ns = out, clock_ns
        self._started_ns = clock_ns()
        self._processes = 0

    def now_ns(self) -> int:
        return self._clock_ns() - self._started_ns

    def new_process(self) -> int:
        """A number no process had before."""
        self._processes += 1
        return self._processes - 1

    def record(
        self,
        process: int | str,
        kind: EventType,
        f: str,
        key: str | None,
        value: Any,
        workload: str = "",
        error: str = "",
    ) -> None:
        event = HistoryEvent(
            len(self.events), process, kind, f, key, value, self.now_ns(), workload, error
        )
        self.events.append(event)
        if self._out is not None:
            self._out.write(event.to_json() + "\n")

    def fault(self, kind: EventType, f: str, value: Any) -> None:
        """A fault begins (invoke) or is over (ok)."""
        self.record(NEMESIS, kind, f, None, value)


class Process:
    """One logical client: one call at a time; a new number after an unknown outcome."""

    def __init__(self, recorder: Recorder, workload: str, timeout_ms: int) -> None:
        self._recorder, self._workload = recorder, workload
        self._limit_s = timeout_ms / 1_000 + HANG_GRACE_S
        self.number = recorder.new_process()

    async def call(
        self,
        f: str,
        key: str | None,
        value: Any,
        action: Callable[[], Awaitable[T]],
        *,
        shown: Callable[[T], Any] = lambda result: result,
        read_only: bool = False,
        allowance_s: float = 0.0,
    ) -> T | None:
        """Make the call and record how it ended. The result, or None unless it was ok.

        `shown` gives the value to record from a result. `read_only`: it changed nothing, so that
        when it is not ok it has certainly not happened. `allowance_s`: how long it may take beyond
        the time-out (because it waits on purpose)."""
        recorder, number = self._recorder, self.number
        started_ns = recorder.now_ns()
        recorder.record(number, "invoke", f, key, value, self._workload)
        try:
            async with asyncio.timeout(self._limit_s + allowance_s):
                result = await action()
        except RefusedError as error:
            self._end("fail", f, key, value, str(error))
        except TimeoutError:
            recorder.hung.append(HungCall(number, self._workload, f, key, started_ns))
            self._end("fail" if read_only else "info", f, key, value, "hung")
        except CoordError as error:
            definite = read_only or error.definite
            self._end("fail" if definite else "info", f, key, value, error.reason or str(error))
        except asyncio.CancelledError:
            self._end("fail" if read_only else "info", f, key, value, "cancelled")
            raise
        else:
            self._end("ok", f, key, shown(result))
            return result
        return None

    def _end(self, kind: EventType, f: str, key: str | None, value: Any, error: str = "") -> None:
        self._recorder.record(self.number, kind, f, key, value, self._workload, error)
        if kind == "info":
            self.number = self._recorder.new_process()
