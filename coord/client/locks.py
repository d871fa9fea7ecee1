"""Exclusive locks. A lock belongs to a session and a holder; its fencing token is what the
protected resource must check, because a client that was paused may believe it still holds it.

A call that ends without a clear answer (cancelled, time over) may leave the lock held or the caller
in its queue. It is cleaned up in the background: the same holder asks once more without waiting -
which takes the lock if it got it after all, and leaves the queue otherwise - and releases.

A lock that was once told lost is given up in the background, whatever becomes of the session: its
former holder has stopped, so nobody else is to wait for it.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass

from coord.client.context import ClientContext
from coord.client.lost import LostEvent
from coord.client.session import Session
from coord.client.transport.errors import (
    CoordError,
    FailedPreconditionError,
    IndefiniteError,
    LockNotAcquiredError,
    NotFoundError,
    SessionExpiredError,
    StaleFencingTokenError,
)
from coord.client.transport.methods import ACQUIRE, GET_LOCK, LIST_LOCKS, REFRESH, RELEASE_LOCK
from coord.client.transport.retry import Deadline
from coord.client.transport.stale import Stale
from coord.client.types import LockInfo, LockWaiter
from coord.pb import common_pb2
from coord.pb import lock_pb2 as pb

_MAX_NAME_BYTES = 240  # leaves room for the number behind it
_GIVE_UP_AGAIN_S = 0.2
_GONE = (StaleFencingTokenError, NotFoundError, FailedPreconditionError, SessionExpiredError)


@dataclass(frozen=True, slots=True, eq=False)
class LockGrant:
    """A lock that was acquired. `fencing_token` grows with every grant of the lock.

    `lost` is set when the lock is gone, and as soon as that is possible: the session is over or was
    not confirmed for a whole TTL, the lock's own TTL passed, or a refresh was refused. `is_set`
    looks at the clock, so it is right at once after the process was suspended. Once lost, the lock
    is given up."""

    name: str
    holder: str
    fencing_token: int
    session_id: int
    ttl_ms: int
    lost: LostEvent


class _Held:
    """A lock that this client believes to hold. `lost`: its event; `lost.set` gives it up."""

    def __init__(self, session: Session, on_lost: Callable[[], None]) -> None:
        self.session = session
        self.lost = _HeldLost(self._until_s, on_lost)
        self._own_end_s = math.inf
        self._expiry: asyncio.TimerHandle | None = None
        session.watch(self.lost)

    def _until_s(self) -> float:
        return min(self._own_end_s, self.session.alive_until_s)

    def renew(self, left_ms: int) -> None:
        """The lock's own TTL is over in so long, if nobody refreshes it."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self.lost.told:
            self.lost.set()  # somebody was told before this was heard of
            return
        self._own_end_s = time.monotonic() + left_ms / 1_000
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(left_ms / 1_000, self.lost.set)

    def drop(self) -> None:
        """Nothing is to be told any more but that it is gone."""
        if self._expiry is not None:
            self._expiry.cancel()
        self.session.unwatch(self.lost)
        self.lost.drop()


class _HeldLost(LostEvent):
    """Calls back, once, when it is set."""

    def __init__(self, until_s: Callable[[], float], on_lost: Callable[[], None]) -> None:
        super().__init__(until_s)
        self._on_lost: Callable[[], None] | None = on_lost

    def drop(self) -> None:
        self._on_lost = None

    def set(self) -> None:
        super().set()
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()


class Locks:
    """Acquire, release and look at locks."""

    def __init__(self, core: ClientContext) -> None:
        self._core = core
        self._held: dict[int, _Held] = {}  # by fencing token
        self._background: set[asyncio.Task[None]] = set()
        self._last_holder = 0

    async def acquire(
        self,
        name: str,
        *,
        holder: str | None = None,
        ttl_ms: int = 0,
        wait_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> LockGrant | None:
        """The lock, waiting in its fair queue up to `wait_ms`; None when somebody else has it.

        `ttl_ms` 0: it lives as long as the session; else it also ends by itself unless refreshed.
        `holder` tells the contenders of one session apart; the same holder acquires it again at
        once. None = a new one for each call: the client's name and a number. `timeout_ms` counts on
        top of `wait_ms`."""
        deadline = self._core.deadline(timeout_ms, wait_ms=wait_ms)
        holder = self._new_holder() if holder is None else holder
        wait = Deadline(wait_ms) if wait_ms else None
        while True:
            session = await self._core.keeper.get(deadline)
            left_ms = wait.remaining_ms if wait else 0
            try:
                reply, asked_at_s = await self._ask(
                    session, name, holder, ttl_ms, left_ms, deadline
                )
            except SessionExpiredError:
                continue  # nothing was acquired under it: once more under a new one
            except (asyncio.CancelledError, IndefiniteError) as error:
                if isinstance(error, CoordError) and error.reason == "SEQUENCE_FORGOTTEN":
                    continue  # its place among the sequences was given up for other calls
                self._in_background(self._abandon(session, name, holder))
                raise
            if reply.acquired:
                return self._granted(session, name, holder, ttl_ms, reply, asked_at_s)
            if wait is None or wait.remaining_ms == 0:
                return None

    async def release(self, grant: LockGrant, *, timeout_ms: int | None = None) -> None:
        """Give the lock up. Raises SessionExpiredError or StaleFencingTokenError when it was gone
        already."""
        deadline = self._core.deadline(timeout_ms)
        held = self._held.pop(grant.fencing_token, None)
        if held is not None:
            held.drop()
        session = await self._session_of(grant, deadline)

        def build(header: common_pb2.RequestHeader) -> pb.ReleaseLockRequest:
            return pb.ReleaseLockRequest(
                header=header, name=grant.name, fencing_token=grant.fencing_token
            )

        try:
            await self._core.writer.write_in(session, RELEASE_LOCK, build, deadline)
        finally:
            grant.lost.set()

    async def release_by_token(
        self, name: str, fencing_token: int, *, timeout_ms: int | None = None
    ) -> None:
        """Release a lock that was acquired elsewhere, knowing its token."""

        def build(header: common_pb2.RequestHeader) -> pb.ReleaseLockRequest:
            return pb.ReleaseLockRequest(header=header, name=name, fencing_token=fencing_token)

        await self._core.write(RELEASE_LOCK, build, timeout_ms)

    async def refresh(self, grant: LockGrant, *, timeout_ms: int | None = None) -> int:
        """Push the end of a lock with its own TTL to now + TTL; returns the TTL. When the cluster
        refuses, `grant.lost` is set."""
        deadline = self._core.deadline(timeout_ms)
        session = await self._session_of(grant, deadline)

        def build(header: common_pb2.RequestHeader) -> pb.RefreshLockRequest:
            return pb.RefreshLockRequest(
                header=header, name=grant.name, fencing_token=grant.fencing_token
            )

        sent_at_s = time.monotonic()
        try:
            reply = await self._core.writer.write_in(session, REFRESH, build, deadline)
        except _GONE:
            grant.lost.set()
            raise
        held = self._held.get(grant.fencing_token)
        if held is not None and reply.ttl_ms:
            held.renew(_left_ms(reply.ttl_ms, sent_at_s))
        return reply.ttl_ms

    async def get(
        self, name: str, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> LockInfo | None:
        """The lock as it is, with the first hundred who wait; None when nobody holds it."""
        try:
            request = pb.GetLockRequest(name=name)
            reply = await self._core.read(GET_LOCK, request, timeout_ms, stale=stale)
        except NotFoundError:
            return None
        info = _info(reply.lock)
        return info if info.held or info.waiters else None

    async def waiters(
        self,
        name: str,
        limit: int = 1_000,
        after: int = 0,
        *,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[LockWaiter]:
        """Who waits for the lock, first come first: those behind the ticket `after`."""
        deadline = self._core.deadline(timeout_ms)
        if stale is not None:
            stale.begin()
        found: builtins.list[LockWaiter] = []
        while True:
            request = pb.GetLockRequest(
                name=name,
                max_waiters=limit - len(found),
                after_ticket=found[-1].ticket if found else after,
            )
            reply = await self._core.ask(GET_LOCK, request, deadline, stale)
            found += _waiters(reply.lock)
            if not reply.more_waiters or not reply.lock.waiters or len(found) >= limit:
                return found

    async def list(
        self,
        prefix: str = "",
        limit: int = 1_000,
        after: str = "",
        *,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[LockInfo]:
        """Locks in order of their names, those behind the name `after`."""
        deadline = self._core.deadline(timeout_ms)
        if stale is not None:
            stale.begin()
        found: builtins.list[LockInfo] = []
        while True:
            request = pb.ListLocksRequest(
                prefix=prefix,
                limit=limit - len(found),
                after_name=found[-1].name if found else after,
            )
            reply = await self._core.ask(LIST_LOCKS, request, deadline, stale)
            found += [_info(lock) for lock in reply.locks]
            if not reply.more or not reply.locks or len(found) >= limit:
                return found

    @contextlib.asynccontextmanager
    async def lock(
        self,
        name: str,
        *,
        holder: str | None = None,
        ttl_ms: int = 0,
        wait_ms: int = 30_000,
        timeout_ms: int | None = None,
    ) -> AsyncIterator[LockGrant]:
        """Hold the lock in an `async with` block; with `ttl_ms` it is refreshed meanwhile. Raises
        LockNotAcquiredError when it was not free within `wait_ms`.

        The block is not interrupted when the lock is lost: look at `grant.lost`, and show
        `grant.fencing_token` to what the lock protects. Released on exit, also when cancelled."""
        grant = await self.acquire(
            name, holder=holder, ttl_ms=ttl_ms, wait_ms=wait_ms, timeout_ms=timeout_ms
        )
        if grant is None:
            raise LockNotAcquiredError(
                f"lock {name!r} was not free within {wait_ms} ms", "LOCK_NOT_ACQUIRED", None, True
            )
        refreshing = asyncio.ensure_future(self._keep_refreshed(grant)) if ttl_ms else None
        try:
            yield grant
        except BaseException:
            await self._leave(grant, refreshing, timeout_ms, failed=True)
            raise
        else:
            await self._leave(grant, refreshing, timeout_ms)

    async def _leave(
        self,
        grant: LockGrant,
        refreshing: asyncio.Future[None] | None,
        timeout_ms: int | None,
        *,
        failed: bool = False,
    ) -> None:
        """The end of a block under the lock. `failed`: by an exception, which counts for more than
        what comes of the release."""
        if refreshing is not None:
            refreshing.cancel()
        if grant.lost.is_set():
            grant.lost.set()  # and with that given up
            return
        try:
            await self._release_surely(grant, timeout_ms)
        except CoordError as error:
            session = self._core.keeper.current
            if session is not None and session.session_id == grant.session_id and error.retryable:
                self._in_background(self._release_lost(session, grant.name, grant.fencing_token))
            if not failed:
                raise

    async def _close(self) -> None:
        for held in self._held.values():
            held.drop()
            held.lost.set()
        self._held.clear()
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)

    async def _ask(
        self,
        session: Session,
        name: str,
        holder: str,
        ttl_ms: int,
        wait_ms: int,
        deadline: Deadline,
    ) -> tuple[pb.AcquireLockResponse, float]:
        def build(header: common_pb2.RequestHeader) -> pb.AcquireLockRequest:
            return pb.AcquireLockRequest(
                header=header, name=name, holder=holder, ttl_ms=ttl_ms, wait_ms=wait_ms
            )

        sent_at_s = time.monotonic()
        reply = await self._core.writer.write_in(session, ACQUIRE, build, deadline, wait_ms=wait_ms)
        return reply, sent_at_s

    def _granted(
        self,
        session: Session,
        name: str,
        holder: str,
        ttl_ms: int,
        reply: pb.AcquireLockResponse,
        asked_at_s: float,
    ) -> LockGrant:
        token = reply.fencing_token
        held = self._held.get(token)
        if held is None or held.lost.is_set():
            held = _Held(session, lambda: self._give_up(session, name, token))
            self._held[token] = held
        if ttl_ms:
            left_ms = reply.lock.remaining_ms or _left_ms(ttl_ms, asked_at_s)
            held.renew(min(left_ms, ttl_ms))
        return LockGrant(name, holder, token, session.session_id, ttl_ms, held.lost)

    def _new_holder(self) -> str:
        self._last_holder += 1
        name = self._core.name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
        return f"{name}#{self._last_holder}"

    def _give_up(self, session: Session, name: str, token: int) -> None:
        """It was told lost: whoever waits for it need not wait for the end of the session."""
        held = self._held.pop(token, None)
        if held is not None:
            held.drop()
        if not (self._core.closed or session.lost.is_set()):
            self._in_background(self._release_lost(session, name, token))

    async def _release_lost(self, session: Session, name: str, token: int) -> None:
        def build(header: common_pb2.RequestHeader) -> pb.ReleaseLockRequest:
            return pb.ReleaseLockRequest(header=header, name=name, fencing_token=token)

        while not session.lost.is_set():
            deadline = Deadline(max(self._core.timeout_ms, session.ttl_ms))
            try:
                await self._core.writer.write_in(session, RELEASE_LOCK, build, deadline)
            except CoordError as error:
                if not (error.retryable or isinstance(error, IndefiniteError)):
                    return
                await asyncio.sleep(_GIVE_UP_AGAIN_S)
            else:
                return

    async def _session_of(self, grant: LockGrant, deadline: Deadline) -> Session:
        if self._core.keeper.session_id == grant.session_id:
            return await self._core.keeper.get(deadline)
        grant.lost.set()
        raise SessionExpiredError(
            f"the session that held lock {grant.name!r} is over", "SESSION_NOT_FOUND"
        )

    async def _keep_refreshed(self, grant: LockGrant) -> None:
        while not grant.lost.is_set():
            await asyncio.sleep(grant.ttl_ms / 3_000)
            try:
                await self.refresh(grant, timeout_ms=max(grant.ttl_ms, 100))
            except _GONE:
                return
            except CoordError:
                continue  # out of reach: `lost` is set when the TTL is over

    async def _release_surely(self, grant: LockGrant, timeout_ms: int | None) -> None:
        release = asyncio.ensure_future(self.release(grant, timeout_ms=timeout_ms))
        try:
            await asyncio.shield(release)
        except _GONE:
            return  # the block is over, and so is the lock
        except asyncio.CancelledError:
            await asyncio.wait({release})
            if not release.cancelled():
                release.exception()
            raise

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _abandon(self, session: Session, name: str, holder: str) -> None:
        deadline = Deadline(max(self._core.timeout_ms, session.ttl_ms))
        with contextlib.suppress(CoordError):  # then it ends with the session
            reply, _ = await self._ask(session, name, holder, 0, 1, deadline)
            if not reply.acquired:
                return

            def build(header: common_pb2.RequestHeader) -> pb.ReleaseLockRequest:
                return pb.ReleaseLockRequest(
                    header=header, name=name, fencing_token=reply.fencing_token
                )

            await self._core.writer.write_in(session, RELEASE_LOCK, build, deadline)


def _left_ms(ttl_ms: int, since_s: float) -> int:
    gone_ms = int((time.monotonic() - since_s) * 1_000)
    return max(1, ttl_ms - gone_ms)


def _info(lock: pb.LockInfo) -> LockInfo:
    return LockInfo(
        name=lock.name,
        held=lock.held,
        session_id=lock.session_id,
        holder=lock.holder,
        fencing_token=lock.fencing_token,
        remaining_ms=lock.remaining_ms,
        waiters=_waiters(lock),
        waiter_count=lock.waiter_count or len(lock.waiters),
    )


def _waiters(lock: pb.LockInfo) -> tuple[LockWaiter, ...]:
    return tuple(LockWaiter(one.session_id, one.holder, one.ticket) for one in lock.waiters)
