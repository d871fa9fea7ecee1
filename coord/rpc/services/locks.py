"""coord.v1.Locks. A waiting Acquire waits in the replicated queue; the call only watches it.

The cost of a waiter does not depend on how many there are: it is woken by what happens to itself
only, its answer names the holder and no other waiter, and its wait ends in the replicated state
when its time is over. Calls that end before that leave the queue a few at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from coord.codec.kinds import CommandKind
from coord.codec.locks import lock_info
from coord.core.base.limits import LIMITS
from coord.core.base.paging import DEFAULT_LIST_ITEMS, page_limit
from coord.core.base.refusal import session_not_found
from coord.core.base.request import EventKind, RequestId
from coord.core.listing import lock_step
from coord.core.locks.commands import AcquireLock, LockReply
from coord.core.locks.queries import get_lock, is_waiting
from coord.core.sessions.liveness import is_open
from coord.pb import lock_pb2 as pb
from coord.rpc.call import Call, Method, asks_stale
from coord.rpc.paging import MAX_PAGE_BYTES, page_of
from coord.rpc.services.context import Backend, accepted
from coord.rpc.services.lock_leaving import Contender, LockLeaving
from coord.rpc.status import refusal
from coord.runtime.watches import subject

_PATH = "/coord.v1.Locks/"
_KIND = CommandKind.ACQUIRE_LOCK
# The replicated state ends a wait on time, many waits in several entries. If it cannot (no entry is
# committed any more), the call ends by itself so much later.
_END_BY_STATE_S: Final = 2.0
_MAX_WAITERS: Final = 1_000  # that one answer shows
_WAITERS_IN_LISTS: Final = 10
_MAX_LOCK_BYTES: Final = _MAX_WAITERS * (LIMITS.max_name_bytes + 64)


class LockService:
    """Exclusive locks."""

    name = "coord.v1.Locks"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # Calls per contender: after a reconnect two may wait for one place in the queue.
        self._waiting: Counter[Contender] = Counter()
        self._leaving = LockLeaving(backend, self._waiting)

    def methods(self) -> Iterable[Method]:
        """The table of this service."""
        yield from self._backend.table(
            _PATH, {"Release": CommandKind.RELEASE_LOCK, "Refresh": CommandKind.REFRESH_LOCK}
        )
        yield Method(f"{_PATH}Acquire", self.acquire, writes=True)
        yield Method(
            f"{_PATH}Get",
            self.get,
            local_if=asks_stale,
            answer_bytes=lambda _: _MAX_LOCK_BYTES,
        )
        yield Method(
            f"{_PATH}List",
            self.list_locks,
            local_if=asks_stale,
            answer_bytes=lambda _: MAX_PAGE_BYTES,
        )

    async def acquire(self, call: Call) -> bytes:
        """Take the lock, or wait for it. A call that ends without it leaves the queue."""
        backend = self._backend
        command, request_id = backend.decode(_KIND, call)
        assert isinstance(command, AcquireLock)
        if request_id is None or not command.wait_ms:
            reply = accepted(await backend.submit(_KIND, call, command, request_id))
            return backend.respond(call, _KIND, command, reply)
        with backend.parked(call):
            return await self._acquire_or_wait(call, command, request_id)

    async def _acquire_or_wait(
        self, call: Call, command: AcquireLock, request_id: RequestId
    ) -> bytes:
        backend = self._backend
        until = backend.wait_until(call, command.wait_ms, grace_s=_END_BY_STATE_S)
        contender = (command.name, request_id.session_id, command.holder)
        self._waiting[contender] += 1
        gone = True
        proposal = backend.submit(_KIND, call, command, request_id)
        try:
            reply = accepted(await asyncio.shield(proposal))
            if isinstance(reply, LockReply) and reply.queued:
                reply = await self._wait_in_queue(contender, until)
            gone = not (isinstance(reply, LockReply) and reply.acquired)
            return backend.respond(call, _KIND, command, reply)
        finally:
            self._waiting[contender] -= 1
            if not self._waiting[contender]:
                del self._waiting[contender]
                if gone:
                    self._leaving.add(contender, call.principal, proposal)

    async def _wait_in_queue(self, contender: Contender, until: float) -> LockReply:
        """How it ends: with the lock, or without it when the time is over."""
        name, session_id, holder = contender
        backend, loop = self._backend, asyncio.get_running_loop()
        subjects = (
            subject(EventKind.LOCK_GRANTED, name, session_id, holder),
            subject(EventKind.LOCK_WAIT_ENDED, name, session_id, holder),
        )
        with backend.watches.watch(subjects) as watch:
            while True:
                state = backend.state
                lock = state.locks.get(name)
                if lock is not None and (lock.session_id, lock.holder) == (session_id, holder):
                    return LockReply(True, lock.token, False, 0, state.revision)
                if not is_open(state.ctx, state.session_tables, session_id):
                    raise refusal(session_not_found(session_id))
                waiting = is_waiting(state, name, session_id, holder)
                if not waiting or not await watch.wait(until - loop.time()):
                    return LockReply(False, 0, False, 0, state.revision)

    async def get(self, call: Call) -> bytes:
        """One lock, and a page of those who wait; one that nobody holds is free."""
        request = call.parse(pb.GetLockRequest)
        state = await self._backend.read(call, answer_bytes=_MAX_LOCK_BYTES)
        found = get_lock(
            state,
            request.name,
            self._backend.clock.now_ms(),
            max_waiters=min(request.max_waiters or DEFAULT_LIST_ITEMS, _MAX_WAITERS),
            after_ticket=request.after_ticket,
        )
        return self._backend.show(
            pb.GetLockResponse(lock=lock_info(found), more_waiters=found.more_waiters)
        )

    async def list_locks(self, call: Call) -> bytes:
        """Held locks by name, a page at a time; of each, the first who wait, and how many do."""
        request = call.parse(pb.ListLocksRequest)
        backend = self._backend
        state = await backend.read(call, answer_bytes=MAX_PAGE_BYTES)

        def show(name: str) -> pb.LockInfo:
            now_ms = backend.clock.now_ms()
            return lock_info(get_lock(backend.state, name, now_ms, max_waiters=_WAITERS_IN_LISTS))

        page = await page_of(
            lambda count, behind: lock_step(backend.state, request.prefix, count, behind),
            show,
            page_limit(state.limits, request.limit),
            request.after_name,
        )
        return backend.show(pb.ListLocksResponse(locks=page.items, more=page.more))
