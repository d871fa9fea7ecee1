"""Tasks.Wait: until all named tasks are at an end, or the time is over.

What a call still waits for is a set of ids, from which each event takes one: a wait for a thousand
tasks costs a thousand steps, however often it is woken. A node that does not lead does the waiting
itself, by its own log, and asks the leader for the tasks only before and after it, when it has room
for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from coord.core.base.limits import LIMITS
from coord.core.base.request import EventKind
from coord.core.tasks.commands import TaskState
from coord.core.tasks.queries import TaskInfo, get_task, is_finished
from coord.pb import task_pb2 as pb
from coord.rpc.call import Call, Handler
from coord.rpc.services.context import Backend
from coord.rpc.services.task_wire import task_info
from coord.runtime import errors
from coord.runtime.watches import Watch, subject

_MAX_BYTES: Final = LIMITS.max_answer_bytes
_FINISHED: Final[frozenset[int]] = frozenset(
    {TaskState.COMPLETED, TaskState.DEAD, TaskState.CANCELLED}
)


class TaskWaits:
    """The Wait method."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def wait(self, call: Call) -> bytes:
        """The tasks, once all are at an end or the time is over."""
        request, task_ids = _parse(call)
        backend = self._backend
        until = backend.wait_until(call, request.wait_ms)
        with backend.parked(call), backend.watches.watch(_ends_of(task_ids)) as watch:
            await backend.newest()
            while True:
                in_time = await self._until_finished(task_ids, watch, until)
                await call.room(_MAX_BYTES)
                if not in_time or not self._unfinished(task_ids):  # none was put back meanwhile
                    return self._show(task_ids, omit_payload=request.omit_payload)

    async def relay(self, call: Call, forward: Handler) -> bytes:
        """The same, at a node that has to ask the leader, which `forward` does."""
        request, task_ids = _parse(call)
        backend, loop = self._backend, asyncio.get_running_loop()
        until = backend.wait_until(call, request.wait_ms)
        question = pb.WaitTasksRequest()
        question.CopyFrom(request)
        question.wait_ms = 0
        with backend.parked(call), backend.watches.watch(_ends_of(task_ids)) as watch:
            while True:
                await call.room(_MAX_BYTES)
                answer = await forward(call.with_request(question))
                if loop.time() >= until:
                    return answer
                told = pb.WaitTasksResponse.FromString(answer)
                if told.all_done:
                    return answer
                left = {one.task_id for one in told.tasks if int(one.state) not in _FINISHED}
                del answer, told
                call.settle()
                await self._until_gone(left, watch, until)

    async def _until_finished(self, task_ids: list[str], watch: Watch, until: float) -> bool:
        """Whether all were at an end in time."""
        return await self._until_gone(self._unfinished(task_ids), watch, until)

    async def _until_gone(self, left: set[str], watch: Watch, until: float) -> bool:
        loop = asyncio.get_running_loop()
        while left:
            if not await watch.wait(until - loop.time()):
                return False
            if watch.everything:
                left &= self._unfinished(left)
            else:
                left.difference_update(watch.names)
        return True

    def _unfinished(self, task_ids: Iterable[str]) -> set[str]:
        state = self._backend.state
        return {one for one in task_ids if is_finished(state, one) is False}

    def _show(self, task_ids: list[str], *, omit_payload: bool) -> bytes:
        state, now_ms = self._backend.state, self._backend.clock.now_ms()
        response = pb.WaitTasksResponse(all_done=not self._unfinished(task_ids))
        size = 0
        for task_id in task_ids:
            info = get_task(state, task_id, now_ms)
            if not isinstance(info, TaskInfo):
                response.unknown_task_ids.append(task_id)
                continue
            task = task_info(info, omit_payload=omit_payload)
            size += task.ByteSize()
            if size > _MAX_BYTES:
                raise errors.response_too_large(_MAX_BYTES, "name fewer tasks at a time")
            response.tasks.append(task)
        return self._backend.show(response)


def _parse(call: Call) -> tuple[pb.WaitTasksRequest, list[str]]:
    request = call.parse(pb.WaitTasksRequest)
    task_ids = list(dict.fromkeys(request.task_ids))
    if not 1 <= len(task_ids) <= LIMITS.max_batch_items:
        raise errors.invalid(
            f"task_ids holds {len(task_ids)}; allowed is 1 to {LIMITS.max_batch_items}",
            "task_ids",
        )
    return request, task_ids


def _ends_of(task_ids: Iterable[str]) -> Iterable[tuple[EventKind, str, int, str]]:
    return (subject(EventKind.TASK_FINISHED, one) for one in task_ids)
