"""Claim, which waits: nothing is logged until there is something to hand out.

A claim goes to the log when the applied state has a ready task for it; otherwise it parks in the
claim queue. One that comes back empty (another was quicker) parks again, in front.
"""

from __future__ import annotations

import asyncio

from coord.codec.kinds import CommandKind
from coord.core.base.refusal import session_not_found, session_required
from coord.core.base.request import RequestId
from coord.core.tasks.commands import Claimed, ClaimTasks
from coord.core.tasks.records import serial_of
from coord.pb import task_pb2 as pb
from coord.replication.port import ReplicationError
from coord.rpc.call import Call
from coord.rpc.services.context import Backend, accepted
from coord.rpc.status import refusal
from coord.runtime.errors import CallError
from coord.runtime.parking import park

KIND = CommandKind.CLAIM_TASKS
# gRPC clients take 4 MiB by default; one task (payload and checkpoint) always fits.
MAX_RESPONSE_BYTES = 3 * 1024 * 1024


class Claiming:
    """The Claim method."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def claim(self, call: Call) -> bytes:
        """Tasks under a lease, or none when the time is over."""
        backend = self._backend
        command, request_id = backend.decode(KIND, call, keep=True)
        assert isinstance(command, ClaimTasks)
        if request_id is None or not request_id.session_id:
            raise refusal(session_required("claiming"))
        with backend.parked(call):
            return await self._claim(call, command, request_id)

    async def _claim(self, call: Call, command: ClaimTasks, request_id: RequestId) -> bytes:
        backend, loop = self._backend, asyncio.get_running_loop()
        until = backend.wait_until(call, call.parse(pb.ClaimRequest).wait_ms)
        queues, max_tasks = tuple(dict.fromkeys(command.queues)), command.max_tasks
        entered = backend.claim_queue.try_enter(queues, max_tasks)
        if not entered:
            entered = await self._look_closer(command, queues, request_id)
        in_front = False
        while entered or await park(
            backend.claim_queue, queues, max_tasks, until - loop.time(), first=in_front
        ):
            try:
                reply = accepted(await backend.submit(KIND, call, command, request_id))
            finally:
                backend.claim_queue.leave(queues, max_tasks)
            assert isinstance(reply, Claimed)
            if reply.tasks:
                return await self._respond(call, command, request_id, reply)
            entered, in_front = False, True
        return backend.respond(call, KIND, command, Claimed(()))

    async def _look_closer(
        self, command: ClaimTasks, queues: tuple[str, ...], request_id: RequestId
    ) -> bool:
        """Before a claim parks or comes back empty: look behind a barrier. True: let through."""
        backend = self._backend
        state = await backend.newest()
        session_id, sequence = request_id.session_id, request_id.sequence
        session = state.sessions.get(session_id)
        if session is None:
            raise refusal(session_not_found(session_id))
        # A repeated claim may be answered already, though nothing is ready any more.
        answered = (session_id, sequence) in state.replies
        if answered or 0 < sequence < session.acked_below:
            backend.claim_queue.enter(queues, command.max_tasks)
            return True
        return backend.claim_queue.try_enter(queues, command.max_tasks)

    async def _respond(
        self, call: Call, command: ClaimTasks, request_id: RequestId, reply: Claimed
    ) -> bytes:
        """The response; what does not fit in one message is given back at once."""
        kept, size = self._fitting(reply)
        if kept < len(reply.tasks):
            await self._give_back(call, request_id, reply.tasks[kept:])
        await call.room(size, applied=True)
        return self._backend.respond(call, KIND, command, Claimed(reply.tasks[:kept]))

    def _fitting(self, reply: Claimed) -> tuple[int, int]:
        """How many of the tasks fit, and the bytes that they take."""
        tasks = self._backend.state.tasks
        size = 0
        for number, (task_id, *_) in enumerate(reply.tasks):
            task = tasks.get(serial_of(task_id))
            added = 0 if task is None else len(task.payload) + len(task.checkpoint) + 256
            if size + added > MAX_RESPONSE_BYTES and number:
                return number, size
            size += added
        return len(reply.tasks), size

    async def _give_back(
        self, call: Call, request_id: RequestId, tasks: tuple[tuple[str, int, int, int], ...]
    ) -> None:
        request = pb.ReleaseRequest(
            header={"session_id": request_id.session_id},
            items=[pb.ReleaseItem(task_id=one[0], fencing_token=one[1]) for one in tasks],
        )
        kind = CommandKind.RELEASE_TASKS
        released = call.with_request(request)
        command, identity = self._backend.decode(kind, released)
        try:
            await self._backend.submit(kind, released, command, identity)
        except (CallError, ReplicationError):
            # Then their leases run out: the claimer does not know of them either way.
            return
