"""coord.v1.Tasks: commands, and reads behind a barrier. Claiming has its own file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from coord.codec.kinds import CommandKind
from coord.core import queries
from coord.core.commands import HeartbeatTasks
from coord.core.explain import explain_task
from coord.core.limits import LIMITS
from coord.core.records import serial_of
from coord.core.replies import EventKind, TaskState
from coord.rpc import errors
from coord.rpc.backend import Backend, accepted, checked
from coord.rpc.calls import Call, Method, asks_stale
from coord.rpc.claiming import Claiming
from coord.rpc.gen import task_pb2 as pb
from coord.rpc.task_wire import queue_info, task_info

_PATH = "/coord.v1.Tasks/"
_COMMANDS = {
    "Submit": CommandKind.SUBMIT_TASKS,
    "Complete": CommandKind.COMPLETE_TASKS,
    "Fail": CommandKind.FAIL_TASKS,
    "Release": CommandKind.RELEASE_TASKS,
    "Cancel": CommandKind.CANCEL_TASK,
    "Retry": CommandKind.RETRY_TASK,
    "Redrive": CommandKind.REDRIVE_QUEUE,
    "PauseQueue": CommandKind.PAUSE_QUEUE,
}
# A list stops here and says that there is more; a wait that would answer with more is refused.
_MAX_LIST_BYTES = 2 * 1024 * 1024
_MAX_WAIT_BYTES = 256 * 1024 * 1024


class TaskService:
    """Queues of work."""

    name = "coord.v1.Tasks"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._claiming = Claiming(backend)

    def methods(self) -> Iterable[Method]:
        """The table of this service."""
        yield from self._backend.table(_PATH, _COMMANDS)
        yield Method(f"{_PATH}Claim", self._claiming.claim, writes=True)
        yield Method(f"{_PATH}Heartbeat", self.heartbeat, writes=True)
        yield Method(f"{_PATH}Get", self.get, local_if=asks_stale)
        yield Method(f"{_PATH}Wait", self.wait)
        yield Method(f"{_PATH}List", self.list_tasks, local_if=asks_stale)
        yield Method(f"{_PATH}Explain", self.explain, local_if=asks_stale)
        yield Method(f"{_PATH}ListQueues", self.list_queues, local_if=asks_stale)

    async def heartbeat(self, call: Call) -> bytes:
        """Renew leases. Held back a little, so that many share one log entry."""
        backend, kind = self._backend, CommandKind.HEARTBEAT_TASKS
        command, request_id = backend.decode(kind, call)
        assert isinstance(command, HeartbeatTasks)
        hold_ms = backend.hold_for(self._shortest_lease_ms(command))
        reply = accepted(await backend.submit(kind, call, command, request_id, hold_ms))
        return backend.respond(kind, command, reply)

    def _shortest_lease_ms(self, command: HeartbeatTasks) -> int:
        """How long until the first of the leases, or of the time-outs it pushes, is over."""
        tasks, now_ms = self._backend.state.tasks, self._backend.clock.now_ms()
        shortest = LIMITS.max_ttl_ms
        for item in command.items:
            task = tasks.get(serial_of(item.task_id))
            if task is not None and task.lease is not None:
                lease = task.lease
                ends_ms = min(lease.expires_at_ms, lease.progress_due_at_ms or lease.expires_at_ms)
                shortest = min(shortest, ends_ms - now_ms)
        return shortest

    async def get(self, call: Call) -> bytes:
        """One task."""
        request = call.parse(pb.GetTaskRequest)
        state = await self._backend.read(call)
        info = checked(queries.get_task(state, request.task_id, self._backend.clock.now_ms()))
        return self._backend.show(
            pb.GetTaskResponse(task=task_info(info, omit_payload=request.omit_payload))
        )

    async def wait(self, call: Call) -> bytes:
        """Tasks, once all are at an end or the time is over."""
        request = call.parse(pb.WaitTasksRequest)
        task_ids = list(dict.fromkeys(request.task_ids))
        if not 1 <= len(task_ids) <= LIMITS.max_batch_items:
            raise errors.invalid(
                f"task_ids holds {len(task_ids)}; allowed is 1 to {LIMITS.max_batch_items}",
                "task_ids",
            )
        backend, loop = self._backend, asyncio.get_running_loop()
        until = backend.wait_until(call, request.wait_ms)
        with backend.waiters.watch((EventKind.TASK_FINISHED, one) for one in task_ids) as watch:
            await backend.read()
            while self._unfinished(task_ids):
                if not await watch.wait(until - loop.time()):
                    break
        return self._show_waited(task_ids, omit_payload=request.omit_payload)

    def _unfinished(self, task_ids: list[str]) -> bool:
        state = self._backend.state
        return any(queries.is_finished(state, one) is False for one in task_ids)

    def _show_waited(self, task_ids: list[str], *, omit_payload: bool) -> bytes:
        state, now_ms = self._backend.state, self._backend.clock.now_ms()
        response = pb.WaitTasksResponse(all_done=not self._unfinished(task_ids))
        size = 0
        for task_id in task_ids:
            info = queries.get_task(state, task_id, now_ms)
            if not isinstance(info, queries.TaskInfo):
                response.unknown_task_ids.append(task_id)
                continue
            size += _weight(info, omit_payload=omit_payload)
            if size > _MAX_WAIT_BYTES:
                raise errors.response_too_large(_MAX_WAIT_BYTES)
            response.tasks.append(task_info(info, omit_payload=omit_payload))
        return self._backend.show(response)

    async def list_tasks(self, call: Call) -> bytes:
        """Tasks in order of submission, a page at a time."""
        request = call.parse(pb.ListTasksRequest)
        try:
            states = [TaskState(one) for one in request.states]
        except ValueError as error:
            raise errors.invalid(f"states: {error}", "states") from error
        page = checked(
            queries.list_tasks(
                await self._backend.read(call),
                request.queue,
                states,
                request.limit,
                request.after_task_id,
                self._backend.clock.now_ms(),
            )
        )
        response = pb.ListTasksResponse(more=page.more)
        size = 0
        for info in page.tasks:
            size += _weight(info, omit_payload=request.omit_payload)
            if size > _MAX_LIST_BYTES and response.tasks:
                response.more = True
                break
            response.tasks.append(task_info(info, omit_payload=request.omit_payload))
        return self._backend.show(response)

    async def explain(self, call: Call) -> bytes:
        """Why a task is not running."""
        request = call.parse(pb.ExplainTaskRequest)
        state = await self._backend.read(call)
        found = checked(explain_task(state, request.task_id, self._backend.clock.now_ms()))
        return self._backend.show(pb.ExplainTaskResponse(**found._asdict()))

    async def list_queues(self, call: Call) -> bytes:
        """Queues and their figures."""
        request = call.parse(pb.ListQueuesRequest)
        state = await self._backend.read(call)
        found = checked(queries.list_queues(state, request.queue, self._backend.clock.now_ms()))
        return self._backend.show(pb.ListQueuesResponse(queues=[queue_info(one) for one in found]))


def _weight(info: queries.TaskInfo, *, omit_payload: bool) -> int:
    size = len(info.result) + len(info.last_error) + 512
    return size if omit_payload else size + len(info.spec.payload) + len(info.checkpoint)
