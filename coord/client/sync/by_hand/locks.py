"""Blocking forms of what the async locks hand out."""

from __future__ import annotations

import asyncio
import contextlib

from coord.client import locks as _async
from coord.client.sync.loop import BlockingLoop

__all__ = ["LockGrant", "LostSignal"]


class LostSignal:
    """Says whether a lock is gone, or may be."""

    def __init__(self, loop: BlockingLoop, event: asyncio.Event) -> None:
        self._loop = loop
        self._event = event

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until it is set, at most `timeout_s`; True when it is."""

        async def waiting() -> bool:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), timeout_s)
            return self._event.is_set()

        return self._loop.run(waiting())


class LockGrant:
    """A lock that was acquired; see `coord.client.LockGrant`."""

    def __init__(self, loop: BlockingLoop, inner: _async.LockGrant) -> None:
        self.inner = inner
        self.lost = LostSignal(loop, inner.lost)

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def holder(self) -> str:
        return self.inner.holder

    @property
    def fencing_token(self) -> int:
        return self.inner.fencing_token

    @property
    def session_id(self) -> int:
        return self.inner.session_id

    @property
    def ttl_ms(self) -> int:
        return self.inner.ttl_ms
