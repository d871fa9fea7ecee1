"""Queues: what waits, what runs, what ended; pause and resume."""

from __future__ import annotations

import builtins
from typing import Any

from coord.client.context import ClientContext
from coord.client.transport.errors import NotFoundError
from coord.client.transport.methods import DELETE_QUEUE, LIST_QUEUES, PAUSE_QUEUE, SET_QUEUE
from coord.client.transport.stale import Stale
from coord.client.types import QueueInfo, RetentionPolicy
from coord.pb import common_pb2
from coord.pb import task_pb2 as pb

PAGE_QUEUES = 1_000


class Queues:
    """The queues that tasks wait in. A queue exists from its first task on."""

    def __init__(self, core: ClientContext) -> None:
        self._core = core

    async def list(
        self, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> builtins.list[QueueInfo]:
        """All queues, in order of their names."""
        deadline = self._core.deadline(timeout_ms)
        if stale is not None:
            stale.begin()
        found: builtins.list[QueueInfo] = []
        while True:
            request = pb.ListQueuesRequest(
                limit=PAGE_QUEUES, after_queue=found[-1].queue if found else ""
            )
            reply = await self._core.ask(LIST_QUEUES, request, deadline, stale)
            found += [_queue(info) for info in reply.queues]
            if not reply.more or not reply.queues:
                return found

    async def get(
        self, queue: str, *, stale: Stale | None = None, timeout_ms: int | None = None
    ) -> QueueInfo:
        """Raises NotFoundError when there is no such queue."""
        request = pb.ListQueuesRequest(queue=queue)
        reply = await self._core.read(LIST_QUEUES, request, timeout_ms, stale=stale)
        for info in reply.queues:
            if info.queue == queue:
                return _queue(info)
        raise NotFoundError(f"no queue {queue!r}", "QUEUE_NOT_FOUND")

    async def pause(self, queue: str, *, timeout_ms: int | None = None) -> None:
        """The queue accepts tasks and hands out nothing until it is resumed."""
        await self._pause(queue, True, timeout_ms)

    async def resume(self, queue: str, *, timeout_ms: int | None = None) -> None:
        """The queue hands out tasks again."""
        await self._pause(queue, False, timeout_ms)

    async def configure(
        self,
        queue: str,
        *,
        quota_tasks: int | None = None,
        quota_bytes: int | None = None,
        policy: RetentionPolicy | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        """Set what is given and leave the rest; a quota of 0 is none. Makes the queue."""

        def build(header: common_pb2.RequestHeader) -> pb.SetQueueRequest:
            number: Any = int(policy or 0)
            return pb.SetQueueRequest(
                header=header,
                queue=queue,
                quota_tasks=quota_tasks,
                quota_bytes=quota_bytes,
                policy=number,
            )

        await self._core.write(SET_QUEUE, build, timeout_ms)

    async def delete(
        self, queue: str, *, force: bool = False, timeout_ms: int | None = None
    ) -> int:
        """Delete a queue with all that it keeps, and return how many tasks that were. `timeout_ms`
        is for each of the steps that this takes.

        Raises FailedPreconditionError (QUEUE_NOT_EMPTY) if it has unfinished tasks, unless `force`
        cancels them. A delete that was interrupted goes on when it is repeated."""

        def build(header: common_pb2.RequestHeader) -> pb.DeleteQueueRequest:
            return pb.DeleteQueueRequest(header=header, queue=queue, force=force)

        deleted = 0
        while True:
            reply = await self._core.write(DELETE_QUEUE, build, timeout_ms)
            deleted += reply.deleted
            if not reply.remaining:
                return deleted

    async def _pause(self, queue: str, paused: bool, timeout_ms: int | None) -> None:
        def build(header: common_pb2.RequestHeader) -> pb.PauseQueueRequest:
            return pb.PauseQueueRequest(header=header, queue=queue, paused=paused)

        await self._core.write(PAUSE_QUEUE, build, timeout_ms)


def _queue(info: pb.QueueInfo) -> QueueInfo:
    return QueueInfo(
        queue=info.queue,
        paused=info.paused,
        ready=info.ready,
        scheduled=info.scheduled,
        claimed=info.claimed,
        submitted_total=info.submitted_total,
        completed_total=info.completed_total,
        dead_total=info.dead_total,
        cancelled_total=info.cancelled_total,
        lost_leases_total=info.lost_leases_total,
        retried_total=info.retried_total,
        dead=info.dead,
        oldest_ready_ms=info.oldest_ready_ms,
        kept=info.kept,
        size_bytes=info.size_bytes,
        tombstones=info.tombstones,
        forgotten_early_total=info.forgotten_early_total,
        quota_tasks=info.quota_tasks,
        quota_bytes=info.quota_bytes,
        policy=RetentionPolicy(info.policy or RetentionPolicy.REFUSE),
        full_by=info.full_by,
        deleting=info.deleting,
    )
