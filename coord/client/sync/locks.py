"""Locks for code without an event loop."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
from collections.abc import Iterator

from coord.client import locks as _locks
from coord.client.sync.loop import BlockingLoop
from coord.client.transport.errors import CoordError
from coord.client.transport.stale import Stale
from coord.client.types import LockInfo, LockWaiter


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

    def __init__(self, loop: BlockingLoop, inner: _locks.LockGrant) -> None:
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


class Locks:
    """See `coord.client.locks.Locks`."""

    def __init__(self, loop: BlockingLoop, inner: _locks.Locks) -> None:
        self._loop = loop
        self._inner = inner

    def acquire(
        self,
        name: str,
        *,
        holder: str | None = None,
        ttl_ms: int = 0,
        wait_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> LockGrant | None:
        grant = self._loop.run(
            self._inner.acquire(
                name, holder=holder, ttl_ms=ttl_ms, wait_ms=wait_ms, timeout_ms=timeout_ms
            )
        )
        return LockGrant(self._loop, grant) if grant is not None else None

    def release(self, grant: LockGrant, *, timeout_ms: int | None = None) -> None:
        return self._loop.run(self._inner.release(grant.inner, timeout_ms=timeout_ms))

    def release_by_token(
        self, name: str, fencing_token: int, *, timeout_ms: int | None = None
    ) -> None:
        return self._loop.run(
            self._inner.release_by_token(name, fencing_token, timeout_ms=timeout_ms)
        )

    def refresh(self, grant: LockGrant, *, timeout_ms: int | None = None) -> int:
        return self._loop.run(self._inner.refresh(grant.inner, timeout_ms=timeout_ms))

    def get(
        self, name: str, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> LockInfo | None:
        return self._loop.run(self._inner.get(name, stale=stale, timeout_ms=timeout_ms))

    def waiters(
        self,
        name: str,
        limit: int = 1_000,
        after: int = 0,
        *,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[LockWaiter]:
        return self._loop.run(
            self._inner.waiters(name, limit, after, stale=stale, timeout_ms=timeout_ms)
        )

    def list(
        self,
        prefix: str = "",
        limit: int = 1_000,
        after: str = "",
        *,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[LockInfo]:
        return self._loop.run(
            self._inner.list(prefix, limit, after, stale=stale, timeout_ms=timeout_ms)
        )

    @contextlib.contextmanager
    def lock(
        self,
        name: str,
        *,
        holder: str | None = None,
        ttl_ms: int = 0,
        wait_ms: int = 30_000,
        timeout_ms: int | None = None,
    ) -> Iterator[LockGrant]:
        held = self._inner.lock(
            name, holder=holder, ttl_ms=ttl_ms, wait_ms=wait_ms, timeout_ms=timeout_ms
        )
        grant = self._loop.run(held.__aenter__())
        try:
            yield LockGrant(self._loop, grant)
        except BaseException as error:
            # The block's own exception is what its caller gets, whatever the release comes to.
            with contextlib.suppress(CoordError):
                self._loop.run(held.__aexit__(type(error), error, error.__traceback__))
            raise
        else:
            self._loop.run(held.__aexit__(None, None, None))
