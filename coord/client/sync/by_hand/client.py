"""The ends of a blocking client: its event loop, and how it closes."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from coord.client import client as _async
from coord.client.sync.loop import BlockingLoop

__all__ = ["BlockingClient"]


class BlockingClient:
    """Base of the blocking client: an async client on an event loop in a thread of its own."""

    def __init__(self, inner: _async.Client) -> None:
        self._inner = inner
        self._loop = BlockingLoop()

    def on_session_lost(self, callback: Callable[[int], object]) -> Callable[[], None]:
        """Call back with the session's id when the cluster says that it is over: its locks are
        released, its tasks handed to others. Later calls open a new one. Returns what removes the
        callback. The callback runs on the client's own thread and must not block."""
        return self._inner.on_session_lost(callback)

    def close(self) -> None:
        """End the session and all connections. Calls under way end at once: with
        ClientClosedError, or OutcomeUnknownError if they may have been carried out. Idempotent."""
        self._loop.close(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
