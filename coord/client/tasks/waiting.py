"""Waiting for any number of tasks: some at a time, and all of them told in the end."""

from __future__ import annotations

from collections.abc import Sequence

from coord.client.context import ClientContext
from coord.client.tasks.convert import task_from
from coord.client.transport.errors import CoordError, InvalidArgumentError, NotFoundError
from coord.client.transport.methods import WAIT_TASKS
from coord.client.transport.retry import Deadline
from coord.client.types import Task
from coord.pb import task_pb2 as pb

WAIT_CHUNK = 500  # task ids per call
WAIT_POLL_MS = 10_000
_HARDLY_ANY_MS = 100


class Waiting:
    """One wait. `deadline`: when the waiting is over; fetching what is left is not bounded by it,
    but by the client's time-out for each call."""

    def __init__(self, core: ClientContext, omit_payload: bool, deadline: Deadline) -> None:
        self._core = core
        self._omit_payload = omit_payload
        self._deadline = deadline
        self._answered = False

    async def run(self, task_ids: Sequence[str]) -> list[Task]:
        """The tasks, at their end, or as they are when the time is over. Raises NotFoundError."""
        found: list[Task] = []
        for start in range(0, len(task_ids), WAIT_CHUNK):
            found += await self._chunk(task_ids[start : start + WAIT_CHUNK])
        return found

    async def _chunk(self, task_ids: Sequence[str]) -> list[Task]:
        while True:
            try:
                reply = await self._ask(task_ids)
            except InvalidArgumentError as error:
                if error.reason != "MESSAGE_TOO_LARGE" or len(task_ids) < 2:
                    raise
                self._answered = True
                half = len(task_ids) // 2  # together they do not fit in one answer
                return await self._chunk(task_ids[:half]) + await self._chunk(task_ids[half:])
            self._answered = True
            if reply.unknown_task_ids:
                names = ", ".join(reply.unknown_task_ids[:10])
                raise NotFoundError(f"not (or no longer) known: {names}", "TASK_NOT_FOUND")
            if reply.all_done or self._is_over:
                return [task_from(task) for task in reply.tasks]

    async def _ask(self, task_ids: Sequence[str]) -> pb.WaitTasksResponse:
        if self._is_over and self._answered:
            return await self._fetch(task_ids)
        try:
            # The reply must have time to travel before the call's own deadline.
            left_ms = self._deadline.remaining_ms
            wait_ms = min(WAIT_POLL_MS, max(0, left_ms * 9 // 10 - 50))
            return await self._call(task_ids, wait_ms, self._deadline)
        except CoordError as error:
            # The cluster answers; there was only no time left to hear of these.
            if not (self._answered and self._is_over and error.retryable):
                raise
        return await self._fetch(task_ids)

    async def _fetch(self, task_ids: Sequence[str]) -> pb.WaitTasksResponse:
        return await self._call(task_ids, 0, Deadline(self._core.timeout_ms))

    async def _call(
        self, task_ids: Sequence[str], wait_ms: int, deadline: Deadline
    ) -> pb.WaitTasksResponse:
        request = pb.WaitTasksRequest(
            task_ids=task_ids, wait_ms=wait_ms, omit_payload=self._omit_payload
        )
        return await self._core.caller.call(WAIT_TASKS, request, deadline, wait_ms=wait_ms)

    @property
    def _is_over(self) -> bool:
        return self._deadline.remaining_ms < _HARDLY_ANY_MS
