"""A cluster in memory, as far as a worker can tell: tasks, leases, tokens, a key-value store."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentnode.config import WorkerConfig
from agentnode.executors import RegistryRunner, Runner
from agentnode.ports import (
    ClaimedTask,
    CoordError,
    DefiniteError,
    HeartbeatItem,
    ItemResult,
    LostTask,
)
from agentnode.registry import Registry
from agentnode.worker import Worker
from coord.client.tasks.slots import Slots
from coord.client.transport.errors import DeadlineError
from coord.client.types import TaskState


@dataclass
class FakeTask:
    """What the cluster knows of one task."""

    claim: ClaimedTask
    state: str = "ready"
    results: list[bytes] = field(default_factory=list)
    errors: list[tuple[str, bool, int | None]] = field(default_factory=list)
    released: int = 0
    delays_ms: list[int] = field(default_factory=list)  # of the releases
    reasons: list[str] = field(default_factory=list)
    checkpoint: bytes = b""
    progress: list[int] = field(default_factory=list)
    heartbeats: int = 0


class FakeTasks:
    """`Client.tasks` with faults to order: set `fail_next[method]` to a list of errors."""

    def __init__(self, max_attempts: int = 3) -> None:
        self.known: dict[str, FakeTask] = {}
        self.fail_next: dict[str, list[CoordError]] = {}
        self.calls: list[tuple[str, Any]] = []
        self.session_id = 1
        self.heartbeats_hang = False
        self.completes_wait: asyncio.Event | None = None
        # The reason to refuse every checkpoint with.
        self.refuse_checkpoints: DefiniteError | None = None
        self.checkpoint_bytes: list[int] = []
        self.works: list[FakeWork] = []
        # A task comes although the worker has stopped.
        self.late_after_stop = False
        # No node answers.
        self.unreachable = False
        # A task comes this long after its lease began, ...
        self.slow_claim_s = 0.0
        # ... and by then somebody else holds the task.
        self.steal_after_claim = False
        self._ready: deque[str] = deque()
        self.news = asyncio.Event()
        self._token = 0
        self._max_attempts = max_attempts

    def add(self, payload: bytes = b"null", *, queue: str = "q", **fields: Any) -> FakeTask:
        task_id = f"t{len(self.known) + 1}"
        task = FakeTask(
            ClaimedTask(
                task_id=task_id,
                queue=queue,
                type=fields.pop("type", ""),
                payload=payload,
                fencing_token=0,
                attempt=0,
                max_attempts=self._max_attempts,
                lease_ttl_ms=0,
                **fields,
            )
        )
        self.known[task_id] = task
        self._put(task_id)
        return task

    def _put(self, task_id: str) -> None:
        self._ready.append(task_id)
        self.news.set()

    def hand_out_again(self, task: FakeTask) -> None:
        """What was given back is ready once more; the attempt did not count."""
        task.claim = task.claim._replace(attempt=task.claim.attempt - 1)
        self._put(task.claim.task_id)

    def take_away(self, task: FakeTask) -> None:
        """Somebody else holds it now."""
        self._token += 1
        task.claim = task.claim._replace(fencing_token=self._token)

    def work(self, queues: Sequence[str], **fields: Any) -> FakeWork:
        """`queues` and `worker` make no difference here."""
        self.works.append(FakeWork(self, **fields))
        return self.works[-1]

    def tell_lost(self, task: FakeTask, state: TaskState, reason: str = "") -> None:
        """The stream says that the lease of this task is over."""
        lost = LostTask(task.claim.task_id, task.claim.fencing_token, state, reason)
        for work in self.works:
            work.on_lost(lost)

    def lose_session(self, session_id: int) -> None:
        """A session is over, and every lease under it."""
        for task in self.known.values():
            if task.state == "claimed" and task.claim.session_id == session_id:
                self.tell_lost(task, TaskState.UNKNOWN, "the session has ended")

    async def next_task(self, lease_ttl_ms: int) -> ClaimedTask:
        self.fault("claim")
        while not self._ready:
            self.news.clear()
            await self.news.wait()
        task = self.known[self._ready.popleft()]
        self._token += 1
        claim = task.claim = task.claim._replace(
            fencing_token=self._token,
            attempt=task.claim.attempt + 1,
            lease_ttl_ms=lease_ttl_ms,
            checkpoint=task.checkpoint,
            session_id=self.session_id,
            claimed_at_s=time.monotonic(),
        )
        task.state = "claimed"
        if self.steal_after_claim:
            self.take_away(task)
        await asyncio.sleep(self.slow_claim_s)
        return claim

    async def heartbeat(
        self, items: Sequence[HeartbeatItem], *, timeout_ms: int | None = None
    ) -> list[ItemResult]:
        self.calls.append(("heartbeat", len(items)))
        self.fault("heartbeat")
        if self.heartbeats_hang:
            assert timeout_ms is not None
            await asyncio.sleep(timeout_ms / 1000)
            raise DeadlineError("no answer in time", "DEADLINE_EXCEEDED", retryable=True)
        self.checkpoint_bytes.append(sum(len(item.checkpoint or b"") for item in items))
        return [self._heartbeat(item) for item in items]

    def _heartbeat(self, item: HeartbeatItem) -> ItemResult:
        task = self.known[item.task_id]
        error = self._refusal(task, item.fencing_token)
        if error is None and item.checkpoint is not None:
            error = self.refuse_checkpoints
        if error is None:
            task.heartbeats += 1
            if item.checkpoint is not None:
                task.checkpoint = item.checkpoint
            if item.progress_permille is not None:
                task.progress.append(item.progress_permille)
        return ItemResult(error=error)

    async def complete(self, task: ClaimedTask, result: bytes) -> None:
        self.calls.append(("complete", task.task_id))
        if self.completes_wait is not None:
            await self.completes_wait.wait()
        known = self._checked("complete", task)
        known.results.append(result)
        known.state = "completed"

    async def fail(
        self,
        task: ClaimedTask,
        error: str,
        *,
        retryable: bool = True,
        retry_after_ms: int | None = None,
    ) -> None:
        self.calls.append(("fail", task.task_id))
        known = self._checked("fail", task)
        known.errors.append((error, retryable, retry_after_ms))
        if retryable and known.claim.attempt < self._max_attempts:
            known.state = "ready"
            self._put(task.task_id)
        else:
            known.state = "dead"

    async def release(self, task: ClaimedTask, *, delay_ms: int = 0, reason: str = "") -> None:
        self.calls.append(("release", task.task_id))
        known = self._checked("release", task)
        known.released += 1
        known.delays_ms.append(delay_ms)
        known.reasons.append(reason)
        known.state = "released"

    def _checked(self, method: str, claim: ClaimedTask) -> FakeTask:
        self.fault(method)
        task = self.known[claim.task_id]
        error = self._refusal(task, claim.fencing_token)
        if error is not None:
            raise error
        return task

    def _refusal(self, task: FakeTask, token: int) -> DefiniteError | None:
        if task.state in {"completed", "dead"}:
            return DefiniteError("the task is at its end", "TASK_FINISHED")
        if task.claim.fencing_token != token or task.state != "claimed":
            return DefiniteError("somebody else holds the task", "STALE_FENCING_TOKEN")
        return None

    def fault(self, method: str) -> None:
        if self.fail_next.get(method):
            raise self.fail_next[method].pop(0)


class FakeWork:
    """`coord.client.Work`: one task at a time, as long as slots are free."""

    def __init__(
        self,
        tasks: FakeTasks,
        *,
        slots: int,
        lease_ttl_ms: int,
        on_lost: Callable[[LostTask], object],
        on_trouble: Callable[[CoordError], object],
        on_connected: Callable[[], object],
        worker: str = "",
    ) -> None:
        self.on_lost = on_lost
        self._tasks = tasks
        self._lease_ttl_ms = lease_ttl_ms
        self._slots = Slots(slots)
        self._stated = 0
        self._stopped = asyncio.Event()
        self.on_trouble = on_trouble
        self.on_connected = on_connected

    async def __aenter__(self) -> FakeWork:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopped.set()

    @property
    def in_use(self) -> int:
        return self._slots.in_use

    async def connected(self) -> None:
        if self._tasks.unreachable:
            self.on_trouble(unavailable())
            await asyncio.Event().wait()

    async def stop(self) -> None:
        self._stopped.set()
        self._tasks.news.set()

    def keep_slot(self, task: ClaimedTask) -> None:
        self._slots.keep((task.task_id, task.fencing_token))

    def free_slot(self, task: ClaimedTask) -> None:
        self._slots.leave((task.task_id, task.fencing_token))
        self._tasks.news.set()

    def __aiter__(self) -> FakeWork:
        return self

    async def __anext__(self) -> ClaimedTask:
        """What was on its way when the worker stopped still comes."""
        while True:
            self._stated += self._slots.state()
            if self._stated:
                break
            if self._stopped.is_set():
                raise StopAsyncIteration
            self._tasks.news.clear()
            await self._tasks.news.wait()
        self._tasks.calls.append(("slots", self._stated))
        coming = asyncio.ensure_future(self._tasks.next_task(self._lease_ttl_ms))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done() and not self._tasks.late_after_stop:
                raise StopAsyncIteration
            claim = await coming
        finally:
            coming.cancel()
            stopped.cancel()
        self._stated -= 1
        self._slots.fill((claim.task_id, claim.fencing_token))
        return claim

    async def heartbeat(
        self, items: Sequence[HeartbeatItem], *, timeout_ms: int | None = None
    ) -> list[ItemResult]:
        return await self._tasks.heartbeat(items, timeout_ms=timeout_ms)

    async def complete(self, task: ClaimedTask, result: bytes) -> None:
        with self._settling(task):
            await self._tasks.complete(task, result)

    async def fail(self, task: ClaimedTask, error: str, **fields: Any) -> None:
        with self._settling(task):
            await self._tasks.fail(task, error, **fields)

    async def release(self, task: ClaimedTask, *, delay_ms: int = 0, reason: str = "") -> None:
        with self._settling(task):
            await self._tasks.release(task, delay_ms=delay_ms, reason=reason)

    @contextlib.contextmanager
    def _settling(self, task: ClaimedTask) -> Iterator[None]:
        leaving = self._slots.settle([(task.task_id, task.fencing_token)])
        self._tasks.news.set()
        try:
            yield
        finally:
            self._slots.settled(leaving)
            self._tasks.news.set()


@dataclass(frozen=True)
class FakeKeyValue:
    value: bytes
    mod_revision: int


class FakeKv:
    """`Client.kv`, as far as the ledger uses it."""

    def __init__(self) -> None:
        self.entries: dict[str, FakeKeyValue] = {}
        self.revision = 0
        self.fail_next: list[CoordError] = []

    async def get(self, key: str) -> FakeKeyValue | None:
        await asyncio.sleep(0)
        return self.entries.get(key)

    async def compare_and_set(self, key: str, expected_mod_revision: int, value: bytes) -> bool:
        await asyncio.sleep(0)
        if self.fail_next:
            raise self.fail_next.pop(0)
        found = self.entries.get(key)
        if (found.mod_revision if found else 0) != expected_mod_revision:
            return False
        self.revision += 1
        self.entries[key] = FakeKeyValue(value, self.revision)
        return True


class FakeClient:
    def __init__(self) -> None:
        self.tasks = FakeTasks()
        self.kv = FakeKv()
        self.stuck: list[list[str]] = []

    def report_stuck(self, task_ids: Sequence[str]) -> None:
        self.stuck.append(list(task_ids))


def unavailable() -> CoordError:
    return CoordError("no node answers", "NO_LEADER", retryable=True)


def config(**changes: Any) -> WorkerConfig:
    """Quick settings for tests."""
    fields: dict[str, Any] = {
        "queues": ("q",),
        "slots": 2,
        "lease_ttl_ms": 600,
        "drain_timeout_ms": 5_000,
        "cancel_grace_ms": 300,
        "checkpoint_delay_ms": 20,
    }
    return WorkerConfig(**{**fields, **changes})


@contextlib.asynccontextmanager
async def running_worker(
    client: FakeClient, runner: Registry | Runner, **changes: Any
) -> AsyncIterator[Worker]:
    """A worker that serves during the block and drains after it."""
    actual = RegistryRunner(runner) if isinstance(runner, Registry) else runner
    worker = Worker(client, actual, config(**changes))
    task = asyncio.create_task(worker.run())
    try:
        yield worker
        worker.stop()
        await asyncio.wait_for(task, 15)
    finally:
        worker.stop()
        worker.stop()
        await asyncio.wait({task}, timeout=10)
