"""coord.v1.Tasks: commands, and reads behind a barrier. Claiming has its own file."""

from __future__ import annotations

from collections.abc import Iterable

from coord.codec.kinds import CommandKind
from coord.core.base.limits import LIMITS
from coord.core.base.paging import page_limit
from coord.core.listing import queue_step, task_step
from coord.core.tasks import queries
from coord.core.tasks.commands import HeartbeatTasks, SubmitTasks, TaskState
from coord.core.tasks.explain import explain_task
from coord.core.tasks.records import serial_of
from coord.pb import task_pb2 as pb
from coord.rpc.call import Call, Handler, Method, asks_stale
from coord.rpc.paging import MAX_PAGE_BYTES, page_of
from coord.rpc.services.claims import Claiming
from coord.rpc.services.context import Backend, accepted, checked
from coord.rpc.services.task_waits import TaskWaits
from coord.rpc.services.task_wire import MAX_TASK_BYTES, queue_info, task_info
from coord.runtime import errors

_PATH = "/coord.v1.Tasks/"
_COMMANDS = {
    "Complete": CommandKind.COMPLETE_TASKS,
    "Fail": CommandKind.FAIL_TASKS,
    "Release": CommandKind.RELEASE_TASKS,
    "Cancel": CommandKind.CANCEL_TASK,
    "Retry": CommandKind.RETRY_TASK,
    "Redrive": CommandKind.REDRIVE_QUEUE,
    "PauseQueue": CommandKind.PAUSE_QUEUE,
    "SetQueue": CommandKind.SET_QUEUE,
    "DeleteQueue": CommandKind.DELETE_QUEUE,
}


class TaskService:
    """Queues of work."""

    name = "coord.v1.Tasks"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._claiming = Claiming(backend)
        self._waits = TaskWaits(backend)

    def methods(self) -> Iterable[Method]:
        """The table of this service."""
        yield from self._backend.table(_PATH, _COMMANDS)
        yield Method(f"{_PATH}Submit", self.submit, writes=True)
        yield Method(f"{_PATH}Claim", self._claiming.claim, writes=True)
        yield Method(f"{_PATH}Heartbeat", self.heartbeat, writes=True)
        yield self._read("Get", self.get, MAX_TASK_BYTES)
        yield Method(f"{_PATH}Wait", self._waits.wait, relay=self._waits.relay)
        yield self._read("List", self.list_tasks, MAX_PAGE_BYTES + MAX_TASK_BYTES)
        yield Method(f"{_PATH}Explain", self.explain, local_if=asks_stale)
        yield self._read("ListQueues", self.list_queues, MAX_PAGE_BYTES)

    def _read(self, name: str, handler: Handler, answer_bytes: int) -> Method:
        return Method(
            f"{_PATH}{name}", handler, local_if=asks_stale, answer_bytes=lambda _: answer_bytes
        )

    async def submit(self, call: Call) -> bytes:
        """Accept tasks, with options that all nodes of the cluster know."""
        backend, kind = self._backend, CommandKind.SUBMIT_TASKS
        command, request_id = backend.decode(kind, call)
        assert isinstance(command, SubmitTasks)
        most = max((spec.max_lost_leases for spec in command.tasks), default=0)
        if most > LIMITS.max_attempts:
            raise errors.invalid(
                f"max_lost_leases is {most}; allowed is 0 to {LIMITS.max_attempts}",
                "max_lost_leases",
            )
        if most and backend.state.level < 1:
            raise errors.level_too_low("max_lost_leases", backend.state.level, 1)
        reply = accepted(await backend.submit(kind, call, command, request_id))
        return backend.respond(call, kind, command, reply)

    async def heartbeat(self, call: Call) -> bytes:
        """Renew leases. Held back a little, so that many share one log entry."""
        backend, kind = self._backend, CommandKind.HEARTBEAT_TASKS
        command, request_id = backend.decode(kind, call)
        assert isinstance(command, HeartbeatTasks)
        hold_ms = backend.hold_for(self._shortest_lease_ms(command))
        reply = accepted(await backend.submit(kind, call, command, request_id, hold_ms))
        return backend.respond(call, kind, command, reply)

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
        await call.room(len(info.spec.payload) + len(info.checkpoint) + len(info.result))
        return self._backend.show(
            pb.GetTaskResponse(task=task_info(info, omit_payload=request.omit_payload))
        )

    async def list_tasks(self, call: Call) -> bytes:
        """Tasks in order of submission, a page at a time."""
        request = call.parse(pb.ListTasksRequest)
        try:
            states = [TaskState(one) for one in request.states]
        except ValueError as error:
            raise errors.invalid(f"states: {error}", "states") from error
        backend = self._backend
        state = await backend.read(call, answer_bytes=MAX_PAGE_BYTES + MAX_TASK_BYTES)
        after = checked(queries.task_page_start(state, request.queue, request.after_task_id))

        def show(serial: int) -> pb.TaskInfo:
            info = queries.task_info(
                backend.state, backend.state.tasks[serial], backend.clock.now_ms()
            )
            return task_info(info, omit_payload=request.omit_payload)

        page = await page_of(
            lambda count, behind: task_step(backend.state, request.queue, states, count, behind),
            show,
            page_limit(state.limits, request.limit),
            after,
        )
        return backend.show(pb.ListTasksResponse(tasks=page.items, more=page.more))

    async def explain(self, call: Call) -> bytes:
        """Why a task is not running."""
        request = call.parse(pb.ExplainTaskRequest)
        state = await self._backend.read(call)
        found = checked(explain_task(state, request.task_id, self._backend.clock.now_ms()))
        return self._backend.show(pb.ExplainTaskResponse(**found._asdict()))

    async def list_queues(self, call: Call) -> bytes:
        """Queues and their figures: one, or a page of all, in order of their names."""
        request = call.parse(pb.ListQueuesRequest)
        backend = self._backend
        state = await backend.read(call, answer_bytes=MAX_PAGE_BYTES)
        if request.queue:
            found = checked(queries.list_queues(state, request.queue, backend.clock.now_ms()))
            return backend.show(pb.ListQueuesResponse(queues=[queue_info(one) for one in found]))

        def show(name: str) -> pb.QueueInfo:
            queue = backend.state.queues[name]
            return queue_info(queries.queue_info(backend.state, queue, backend.clock.now_ms()))

        page = await page_of(
            lambda count, behind: queue_step(backend.state, count, behind),
            show,
            page_limit(state.limits, request.limit or LIMITS.max_list_items),
            request.after_queue,
        )
        # Who sets no limit does not look at `more`.
        if page.more and not request.limit:
            raise errors.response_too_large(MAX_PAGE_BYTES, "set limit and after_queue")
        return backend.show(pb.ListQueuesResponse(queues=page.items, more=page.more))
