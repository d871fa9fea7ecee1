"""Tasks and queues."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Sequence
from typing import Unpack
from weakref import WeakSet

from coord.client.context import ClientContext
from coord.client.tasks.batching import Batcher
from coord.client.tasks.claims import ClaimLine, ClaimTerms
from coord.client.tasks.convert import groups, size_of, spec_message, task_from
from coord.client.tasks.held import HeldTasks
from coord.client.tasks.waiting import Waiting
from coord.client.tasks.work import MAX_SLOTS, Work
from coord.client.tasks.work_link import WorkTerms
from coord.client.transport.errors import (
    CoordError,
    DeadlineError,
    TaskFailedError,
)
from coord.client.transport.methods import (
    CANCEL_TASK,
    EXPLAIN,
    GET_TASK,
    LIST_TASKS,
    REDRIVE,
    RETRY_TASK,
    SUBMIT,
)
from coord.client.transport.retry import Deadline
from coord.client.transport.stale import Stale
from coord.client.types import (
    ClaimedTask,
    LostTask,
    SubmittedTask,
    Task,
    TaskExplanation,
    TaskOptions,
    TaskSpec,
    TaskState,
    takes_task_options,
)
from coord.pb import common_pb2
from coord.pb import task_pb2 as pb


class Tasks(HeldTasks):
    """Submit, claim, commit and look at tasks. Every method takes `timeout_ms` (default: the
    client's) and raises CoordError; errors tell whether the operation may have happened."""

    def __init__(self, core: ClientContext) -> None:
        super().__init__(core, core.writer.write)
        self._submits: Batcher[pb.TaskSpec, SubmittedTask] = Batcher(self._send_submit)
        self._claims: dict[ClaimTerms, ClaimLine] = {}
        self._works: WeakSet[Work] = WeakSet()

    @takes_task_options
    async def submit(
        self,
        queue: str,
        payload: bytes = b"",
        *,
        timeout_ms: int | None = None,
        **options: Unpack[TaskOptions],
    ) -> SubmittedTask:
        """Accept one task; see TaskSpec for the fields."""
        spec = TaskSpec.of(queue, payload, options)
        deadline = self._core.deadline(timeout_ms)
        message = spec_message(spec)
        return (await self._submits.ask((message,), size_of(message), deadline))[0]

    async def submit_many(
        self, tasks: Sequence[TaskSpec], *, timeout_ms: int | None = None
    ) -> builtins.list[SubmittedTask]:
        """Accept tasks, in order. Up to 1000 of 4 MiB are accepted together or not at all; more
        are sent in several such groups, and an error leaves the groups before it accepted."""
        deadline = self._core.deadline(timeout_ms)
        specs = [spec_message(task) for task in tasks]
        done: builtins.list[SubmittedTask] = []
        for group, size_bytes in groups(specs):
            done += await self._submits.ask(group, size_bytes, deadline)
        return done

    async def claim(
        self,
        queues: Sequence[str],
        *,
        max_tasks: int = 1,
        lease_ttl_ms: int = 15_000,
        wait_ms: int = 0,
        worker: str = "",
        timeout_ms: int | None = None,
    ) -> builtins.list[ClaimedTask]:
        """Take up to `max_tasks` tasks under a lease, waiting up to `wait_ms` for the first; empty
        when there was none. `timeout_ms` counts on top of `wait_ms`.

        Cancelling the call loses no task: those handed out already are given back. Raises
        SessionExpiredError when the session ended meanwhile; the next call opens another."""
        self._core.check_usable()
        if isinstance(queues, str):
            raise TypeError("queues is a sequence of names, not one name")
        terms = ClaimTerms(tuple(queues), lease_ttl_ms, worker, wait_ms > 0)
        line = self._claims.get(terms)
        if line is None:
            line = ClaimLine(terms, self._core.caller, self._core.keeper, self._give_back)
            self._claims[terms] = line
        try:
            timeout_ms = self._core.timeout_ms if timeout_ms is None else timeout_ms
            return await line.claim(max_tasks, wait_ms, timeout_ms)
        finally:
            if line.idle:
                self._claims.pop(terms, None)

    def work(
        self,
        queues: Sequence[str],
        *,
        slots: int = 1,
        lease_ttl_ms: int = 15_000,
        worker: str = "",
        on_lost: Callable[[LostTask], object] | None = None,
        on_trouble: Callable[[CoordError], object] | None = None,
        on_connected: Callable[[], object] | None = None,
    ) -> Work:
        """A stream of tasks, never more at a time than there are `slots`:

            async with client.tasks.work(["emails"], slots=4) as work:
                async for task in work:
                    await work.complete(task, b"...")

        Completing a task and getting the next one costs one round trip. `on_lost` is called as soon
        as the lease of a task is over: it was cancelled, or has expired. See `Work`."""
        self._core.check_usable()
        if isinstance(queues, str):
            raise TypeError("queues is a sequence of names, not one name")
        if not 1 <= slots <= MAX_SLOTS:
            raise ValueError(f"slots must be 1 to {MAX_SLOTS}, not {slots}")
        terms = WorkTerms(tuple(queues), slots, lease_ttl_ms, worker)
        work = Work(self._core, terms, on_lost, on_trouble, on_connected)
        self._works.add(work)
        return work

    async def get(
        self,
        task_id: str,
        *,
        omit_payload: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> Task:
        """Raises NotFoundError when the task is not (or no longer) known."""
        request = pb.GetTaskRequest(task_id=task_id, omit_payload=omit_payload)
        return task_from((await self._core.read(GET_TASK, request, timeout_ms, stale=stale)).task)

    async def list(
        self,
        queue: str = "",
        states: Sequence[TaskState] = (),
        limit: int = 100,
        after: str = "",
        *,
        omit_payload: bool = False,
        stale: Stale | None = None,
        timeout_ms: int | None = None,
    ) -> builtins.list[Task]:
        """Tasks in order of submission, those behind the task id `after`; empty filters = all."""
        deadline = self._core.deadline(timeout_ms)
        if stale is not None:
            stale.begin()
        found: builtins.list[Task] = []
        while True:
            request = pb.ListTasksRequest(
                queue=queue,
                states=[pb.TaskState.Name(int(s)) for s in states],
                limit=limit - len(found),
                after_task_id=found[-1].task_id if found else after,
                omit_payload=omit_payload,
            )
            reply = await self._core.ask(LIST_TASKS, request, deadline, stale)
            found += [task_from(task) for task in reply.tasks]
            # A page is also cut where it would be too large for one message.
            if not reply.more or not reply.tasks or len(found) >= limit:
                return found

    async def wait(
        self,
        task_ids: Sequence[str],
        *,
        omit_payload: bool = False,
        timeout_ms: int | None = None,
    ) -> builtins.list[Task]:
        """Wait until every one of them is at an end, and return them in the given order. When the
        time-out passes first they are returned as they are: look at `finished`. Raises
        NotFoundError when one is not known.

        There may be any number of them. They are asked for some at a time; what is not asked for
        yet when the waiting is over is fetched then, which takes its own time."""
        waiting = Waiting(self._core, omit_payload, self._core.deadline(timeout_ms))
        found = {task.task_id: task for task in await waiting.run(list(dict.fromkeys(task_ids)))}
        return [found[task_id] for task_id in task_ids]

    async def result(self, task_id: str, timeout_ms: int | None = None) -> bytes:
        """Wait for the task's result. Raises TaskFailedError when it ended dead or cancelled,
        DeadlineError when it is not at an end in time."""
        (task,) = await self.wait([task_id], timeout_ms=timeout_ms)
        if task.state is TaskState.COMPLETED:
            return task.result
        if task.finished:
            raise TaskFailedError(
                f"task {task_id} is {task.state.name.lower()}: {task.last_error}",
                task_id=task_id,
                state=task.state.name,
                last_error=task.last_error,
            )
        message = f"task {task_id} is not at an end in time ({task.state.name.lower()})"
        raise DeadlineError(message, "DEADLINE_EXCEEDED", retryable=True)

    async def cancel(
        self, task_id: str, reason: str = "", *, timeout_ms: int | None = None
    ) -> TaskState:
        """End the task; a worker that holds it finds its token stale. Returns its state then."""

        def build(header: common_pb2.RequestHeader) -> pb.CancelTaskRequest:
            return pb.CancelTaskRequest(header=header, task_id=task_id, reason=reason)

        return TaskState((await self._core.write(CANCEL_TASK, build, timeout_ms)).state)

    async def retry(self, task_id: str, *, timeout_ms: int | None = None) -> TaskState:
        """Put one dead or cancelled task back in its queue with fresh attempts."""

        def build(header: common_pb2.RequestHeader) -> pb.RetryTaskRequest:
            return pb.RetryTaskRequest(header=header, task_id=task_id)

        return TaskState((await self._core.write(RETRY_TASK, build, timeout_ms)).state)

    async def redrive(
        self, queue: str, limit: int = 1_000, *, timeout_ms: int | None = None
    ) -> int:
        """Put all dead tasks of a queue (up to `limit`) back; returns how many."""

        def build(header: common_pb2.RequestHeader) -> pb.RedriveRequest:
            return pb.RedriveRequest(header=header, queue=queue, limit=limit)

        return (await self._core.write(REDRIVE, build, timeout_ms)).redriven

    async def explain(
        self, task_id: str, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> TaskExplanation:
        """Why the task is not running."""
        request = pb.ExplainTaskRequest(task_id=task_id)
        reply = await self._core.read(EXPLAIN, request, timeout_ms, stale=stale)
        return TaskExplanation(
            state=TaskState(reply.state),
            summary=reply.summary,
            reasons=tuple(reply.reasons),
            ahead=reply.ahead,
            ready_in_ms=reply.ready_in_ms,
            workers=reply.workers,
        )

    async def _close(self) -> None:
        await asyncio.gather(*(line.close() for line in self._claims.values()))
        await asyncio.gather(*(work._close() for work in list(self._works)))
        await self._submits.close()
        await super()._close()

    async def _send_submit(
        self, specs: Sequence[pb.TaskSpec], deadline: Deadline
    ) -> Sequence[SubmittedTask]:
        def build(header: common_pb2.RequestHeader) -> pb.SubmitRequest:
            return pb.SubmitRequest(header=header, tasks=specs)

        reply = await self._core.writer.write(SUBMIT, build, deadline)
        return [SubmittedTask(task.task_id, task.revision, task.existed) for task in reply.tasks]
