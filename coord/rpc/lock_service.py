"""coord.v1.Locks. A waiting Acquire waits in the replicated queue; the call only watches it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import structlog

from coord.codec.kinds import CommandKind
from coord.codec.replies import lock_info
from coord.core import queries
from coord.core.commands import AcquireLock, CancelLockWait, RequestId
from coord.core.refusals import session_not_found
from coord.core.replies import EventKind, LockReply, Reply
from coord.replication.port import ReplicationError
from coord.rpc.backend import Backend, accepted
from coord.rpc.calls import Call, Method, asks_stale
from coord.rpc.errors import CallError
from coord.rpc.gen import lock_pb2 as pb
from coord.rpc.status import refusal

_PATH = "/coord.v1.Locks/"
_KIND = CommandKind.ACQUIRE_LOCK
_Contender = tuple[str, int, str]


class LockService:
    """Exclusive locks."""

    name = "coord.v1.Locks"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._log = structlog.get_logger("coord.rpc")
        # Calls per contender: after a reconnect two may wait for one place in the queue.
        self._waiting: Counter[_Contender] = Counter()
        self._leaving: set[asyncio.Task[None]] = set()

    def methods(self) -> Iterable[Method]:
        """The table of this service."""
        yield from self._backend.table(
            _PATH, {"Release": CommandKind.RELEASE_LOCK, "Refresh": CommandKind.REFRESH_LOCK}
        )
        yield Method(f"{_PATH}Acquire", self.acquire, writes=True)
        yield Method(f"{_PATH}Get", self.get, local_if=asks_stale)
        yield Method(f"{_PATH}List", self.list_locks, local_if=asks_stale)

    async def acquire(self, call: Call) -> bytes:
        """Take the lock, or wait for it. A call that ends without it leaves the queue."""
        backend = self._backend
        command, request_id = backend.decode(_KIND, call)
        assert isinstance(command, AcquireLock)
        if request_id is None or not command.wait_ms:
            return await backend.write(_KIND, call)
        until = backend.wait_until(call, command.wait_ms)
        contender = (command.name, request_id.session_id, command.holder)
        self._waiting[contender] += 1
        gone = True
        proposal = backend.submit(_KIND, call, command, request_id)
        try:
            reply = accepted(await asyncio.shield(proposal))
            if isinstance(reply, LockReply) and reply.queued:
                reply = await self._wait_in_queue(contender, until)
            gone = not (isinstance(reply, LockReply) and reply.acquired)
            return backend.respond(_KIND, command, reply)
        finally:
            self._waiting[contender] -= 1
            if not self._waiting[contender]:
                del self._waiting[contender]
                if gone:
                    self._leave_queue(call, contender, proposal)

    async def _wait_in_queue(self, contender: _Contender, until: float) -> LockReply:
        """How it ends: with the lock, or without it when the time is over."""
        name, session_id, holder = contender
        backend, loop = self._backend, asyncio.get_running_loop()
        subjects = (
            (EventKind.LOCK_GRANTED, name),
            (EventKind.LOCK_WAIT_ENDED, name),
            (EventKind.SESSION_ENDED, str(session_id)),
        )
        with backend.waiters.watch(subjects) as watch:
            while True:
                state = backend.state
                lock = state.locks.get(name)
                if lock is not None and (lock.session_id, lock.holder) == (session_id, holder):
                    return LockReply(True, lock.token, False, 0, state.revision)
                if session_id not in state.sessions:
                    raise refusal(session_not_found(session_id))
                waiting = queries.is_waiting(state, name, session_id, holder)
                if not waiting or not await watch.wait(until - loop.time()):
                    return LockReply(False, 0, False, 0, state.revision)

    def _leave_queue(
        self, call: Call, contender: _Contender, proposal: asyncio.Future[Reply]
    ) -> None:
        """In the background: the caller may be gone already."""
        leaving = asyncio.create_task(self._cancel_wait(call, contender, proposal))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _cancel_wait(
        self, call: Call, contender: _Contender, proposal: asyncio.Future[Reply]
    ) -> None:
        name, session_id, holder = contender
        try:
            # Whether it stands in the queue is known once its request is applied.
            await proposal
            waits = queries.is_waiting(self._backend.state, name, session_id, holder)
            if not waits or contender in self._waiting:
                return
            raw = pb.CancelWaitRequest(
                header={"session_id": session_id}, name=name, holder=holder
            ).SerializeToString()
            await self._backend.proposer.submit(
                CommandKind.CANCEL_LOCK_WAIT,
                raw,
                CancelLockWait(name, holder),
                principal=call.principal,
                request_id=RequestId(session_id, 0, 0),
            )
        except (CallError, ReplicationError) as error:
            # Then its wait ends by itself, when its time or its session is over.
            self._log.debug("lock.wait_not_cancelled", lock=name, error=str(error))

    async def get(self, call: Call) -> bytes:
        """One lock; one that nobody holds is free."""
        request = call.parse(pb.GetLockRequest)
        state = await self._backend.read(call)
        found = queries.get_lock(state, request.name, self._backend.clock.now_ms())
        return self._backend.show(pb.GetLockResponse(lock=lock_info(found)))

    async def list_locks(self, call: Call) -> bytes:
        """Held locks by name."""
        request = call.parse(pb.ListLocksRequest)
        found = queries.list_locks(
            await self._backend.read(call),
            request.prefix,
            request.limit,
            request.after_name,
            self._backend.clock.now_ms(),
        )
        return self._backend.show(pb.ListLocksResponse(locks=[lock_info(one) for one in found]))
