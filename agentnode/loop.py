"""An event loop that handlers cannot end.

asyncio lets SystemExit and KeyboardInterrupt out of `run_forever` when a task or a callback raises
them, also a task that a handler has started beside itself. Whoever awaits that task sees the
exception all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import structlog


class WorkerLoop(asyncio.SelectorEventLoop):
    """Goes on after such an exception while it is `guarded`."""

    _guarding = 0
    _stop_asked = False

    def run_forever(self) -> None:
        self._stop_asked = False
        while True:
            try:
                super().run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                if not self._guarding:
                    raise
                structlog.get_logger("agentnode").warning(
                    "a task of a handler tried to end the worker", exception=type(error).__name__
                )
                if self._stop_asked:
                    return
            else:
                return

    def stop(self) -> None:
        self._stop_asked = True
        super().stop()

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Signals have handlers of their own meanwhile, so nobody else can mean to end this."""
        self._guarding += 1
        try:
            yield
        finally:
            self._guarding -= 1


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """The running loop, if it is one of these, is `guarded`."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, WorkerLoop):
        with loop.guarded():
            yield
    else:
        yield
