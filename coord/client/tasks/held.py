"""What the holder of a task tells of it. Calls of one kind made at the same time ride together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from coord.client.context import ClientContext
from coord.client.tasks.batching import Batcher
from coord.client.tasks.convert import checked, groups, item_results, size_of
from coord.client.transport.channel import ClientMethod, Rep, Req
from coord.client.transport.errors import CoordError
from coord.client.transport.methods import COMPLETE, FAIL, HEARTBEAT, RELEASE
from coord.client.transport.retry import Deadline
from coord.client.types import ClaimedTask, HeartbeatItem, ItemResult, TaskHandle
from coord.pb import common_pb2
from coord.pb import task_pb2 as pb


class Write(Protocol):
    """Makes a deduplicated write; see `Writer.write`."""

    async def __call__(
        self,
        method: ClientMethod[Req, Rep],
        build: Callable[[common_pb2.RequestHeader], Req],
        deadline: Deadline,
    ) -> Rep: ...


class HeldTasks:
    """Keep, commit and give back what was claimed. Every method takes `timeout_ms` (default: the
    client's) and raises CoordError; errors tell whether the operation may have happened."""

    def __init__(self, core: ClientContext, write: Write) -> None:
        self._core = core
        self._write = write
        self._heartbeats: Batcher[pb.HeartbeatItem, ItemResult] = Batcher(self._send_heartbeat)
        self._completes: Batcher[pb.CompleteItem, ItemResult] = Batcher(self._send_complete)
        self._fails: Batcher[pb.FailItem, ItemResult] = Batcher(self._send_fail)
        self._releases: Batcher[pb.ReleaseItem, ItemResult] = Batcher(self._send_release)

    async def heartbeat(
        self, items: Sequence[HeartbeatItem], *, timeout_ms: int | None = None
    ) -> list[ItemResult]:
        """Renew leases, store checkpoints, report progress. One result per item, in order; raises
        only when the call itself fails."""
        messages = [
            pb.HeartbeatItem(
                task_id=item.task_id,
                fencing_token=item.fencing_token,
                checkpoint=item.checkpoint,
                progress_permille=item.progress_permille,
            )
            for item in items
        ]
        return await self._ask_items(self._heartbeats, messages, timeout_ms)

    async def complete(
        self, task: ClaimedTask | TaskHandle, result: bytes = b"", *, timeout_ms: int | None = None
    ) -> ItemResult:
        """Commit the result. Raises StaleFencingTokenError when the lease is not this one's."""
        message = pb.CompleteItem(
            task_id=task.task_id, fencing_token=task.fencing_token, result=result
        )
        return checked(await self._ask_item(self._completes, message, timeout_ms))

    async def complete_many(
        self,
        items: Sequence[tuple[ClaimedTask | TaskHandle, bytes]],
        *,
        timeout_ms: int | None = None,
    ) -> list[ItemResult]:
        """Commit results. One result per item, in order; raises only when the call fails."""
        messages = [
            pb.CompleteItem(task_id=task.task_id, fencing_token=task.fencing_token, result=result)
            for task, result in items
        ]
        return await self._ask_items(self._completes, messages, timeout_ms)

    async def fail(
        self,
        task: ClaimedTask | TaskHandle,
        error: str,
        *,
        retryable: bool = True,
        retry_after_ms: int | None = None,
        timeout_ms: int | None = None,
    ) -> ItemResult:
        """Report a failed attempt. Not `retryable`: the task is dead at once. `retry_after_ms`
        overrides the backoff. `state` of the result tells what became of the task."""
        message = pb.FailItem(
            task_id=task.task_id,
            fencing_token=task.fencing_token,
            error=error,
            retryable=retryable,
            retry_after_ms=retry_after_ms,
        )
        return checked(await self._ask_item(self._fails, message, timeout_ms))

    async def release(
        self,
        task: ClaimedTask | TaskHandle,
        *,
        delay_ms: int = 0,
        reason: str = "",
        timeout_ms: int | None = None,
    ) -> ItemResult:
        """Give the task back without counting the attempt. `reason`: why, for people; `explain`
        shows it until the task is claimed again."""
        message = pb.ReleaseItem(
            task_id=task.task_id,
            fencing_token=task.fencing_token,
            delay_ms=delay_ms,
            reason=reason,
        )
        return checked(await self._ask_item(self._releases, message, timeout_ms))

    async def _close(self) -> None:
        batchers: list[Batcher[Any, Any]] = [
            self._heartbeats,
            self._completes,
            self._fails,
            self._releases,
        ]
        await asyncio.gather(*(batcher.close() for batcher in batchers))

    async def _ask_item(
        self, batcher: Batcher[Any, ItemResult], message: Any, timeout_ms: int | None
    ) -> ItemResult:
        deadline = self._core.deadline(timeout_ms)
        return (await batcher.ask((message,), size_of(message), deadline))[0]

    async def _ask_items(
        self, batcher: Batcher[Any, ItemResult], messages: Sequence[Any], timeout_ms: int | None
    ) -> list[ItemResult]:
        deadline = self._core.deadline(timeout_ms)
        done: list[ItemResult] = []
        for group, size_bytes in groups(messages):
            done += await batcher.ask(group, size_bytes, deadline)
        return done

    async def _give_back(self, tasks: Sequence[ClaimedTask]) -> None:
        messages = [
            pb.ReleaseItem(task_id=task.task_id, fencing_token=task.fencing_token) for task in tasks
        ]
        try:
            await self._ask_items(self._releases, messages, None)
        except CoordError:
            return  # then their leases run out

    async def _send_heartbeat(
        self, items: Sequence[pb.HeartbeatItem], deadline: Deadline
    ) -> Sequence[ItemResult]:
        def build(header: common_pb2.RequestHeader) -> pb.HeartbeatRequest:
            return pb.HeartbeatRequest(header=header, items=items)

        return item_results(await self._write(HEARTBEAT, build, deadline))

    async def _send_complete(
        self, items: Sequence[pb.CompleteItem], deadline: Deadline
    ) -> Sequence[ItemResult]:
        def build(header: common_pb2.RequestHeader) -> pb.CompleteRequest:
            return pb.CompleteRequest(header=header, items=items)

        return item_results(await self._write(COMPLETE, build, deadline))

    async def _send_fail(
        self, items: Sequence[pb.FailItem], deadline: Deadline
    ) -> Sequence[ItemResult]:
        def build(header: common_pb2.RequestHeader) -> pb.FailRequest:
            return pb.FailRequest(header=header, items=items)

        return item_results(await self._write(FAIL, build, deadline))

    async def _send_release(
        self, items: Sequence[pb.ReleaseItem], deadline: Deadline
    ) -> Sequence[ItemResult]:
        def build(header: common_pb2.RequestHeader) -> pb.ReleaseRequest:
            return pb.ReleaseRequest(header=header, items=items)

        return item_results(await self._write(RELEASE, build, deadline))
