"""A store in memory with the client's interface: what checkers and workloads are tried on.

It is right by construction - one process, one thread, nothing awaited half-way - so whatever a
checker finds in it is the checker's fault. Its broken relatives are in `chaos.stores.broken`.
Leases run on the clock of the event loop. Only what workloads use is there.
"""

from __future__ import annotations

import asyncio
import builtins
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from coord.client import (
    ClaimedTask,
    Compare,
    HeartbeatItem,
    ItemResult,
    KeyValue,
    LockGrant,
    NotFoundError,
    Put,
    StaleFencingTokenError,
    SubmittedTask,
    Task,
    TaskHandle,
    TaskSpec,
    TaskState,
    TxnResult,
)
from coord.client.kv import Key, Op, to_bytes
from coord.client.lost import LostEvent

LATENCY_S = 0.001
TTL_MS = 4_000


@dataclass(slots=True)
class StoredSession:
    """`until`: None while its client is there to renew it."""

    session_id: int
    ttl_ms: int
    until: float | None = None


@dataclass(slots=True)
class Lock:
    """`token` 0: free. `until`: when its own time is over, None = never."""

    token: int = 0
    until: float | None = None
    session_id: int = 0


@dataclass(slots=True)
class StoredTask:
    task_id: str
    payload: bytes
    state: TaskState = TaskState.READY
    token: int = 0
    until: float = 0.0
    result: bytes = b""
    attempt: int = 0


@dataclass(slots=True)
class MemoryStore:
    """What all clients share. Broken stores override the methods below."""

    pairs: dict[bytes, KeyValue] = field(default_factory=dict)
    locks: dict[str, Lock] = field(default_factory=dict)
    tasks: dict[str, StoredTask] = field(default_factory=dict)
    sessions: dict[int, StoredSession] = field(default_factory=dict)
    revisions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    last_revision: int = 0

    def connect(self, name: str, **options: object) -> MemoryClient:
        """As workloads are given it."""
        ttl_ms, end_session = options.get("session_ttl_ms"), options.get("end_session", True)
        session = StoredSession(self.next_revision(), ttl_ms if isinstance(ttl_ms, int) else TTL_MS)
        self.sessions[session.session_id] = session
        return MemoryClient(self, session, ends_session=bool(end_session))

    def next_revision(self) -> int:
        self.last_revision = next(self.revisions)
        return self.last_revision

    # ---- key-value

    def read(self, key: bytes) -> KeyValue | None:
        return self.pairs.get(key)

    def read_prefix(self, prefix: bytes) -> list[KeyValue]:
        return [pair for key, pair in sorted(self.pairs.items()) if key.startswith(prefix)]

    def write(self, key: bytes, value: bytes) -> int:
        revision = self.next_revision()
        old = self.pairs.get(key)
        created, version = (old.create_revision, old.version + 1) if old else (revision, 1)
        self.pairs[key] = KeyValue(key, value, created, revision, version)
        return revision

    def holds(self, compare: Compare) -> bool:
        pair = self.pairs.get(to_bytes(compare.key))
        if compare.relation != "=":
            raise NotImplementedError(compare)
        match compare.target:
            case "value":
                return pair is not None and pair.value == to_bytes(str(compare.operand))
            case "mod":
                return (pair.mod_revision if pair else 0) == compare.operand
            case "create":
                return (pair.create_revision if pair else 0) == compare.operand
            case _:
                raise NotImplementedError(compare)

    # ---- sessions

    def leave(self, session: StoredSession, *, ended: bool) -> None:
        """Its client is gone, with an end of the session or without."""
        now = asyncio.get_running_loop().time()
        session.until = now if ended else now + session.ttl_ms / 1_000

    def is_over(self, session_id: int) -> bool:
        until = self.sessions[session_id].until
        return until is not None and until <= asyncio.get_running_loop().time()

    # ---- locks

    def acquire(self, name: str, ttl_ms: int, session_id: int) -> int:
        """The token; 0 when it is held."""
        lock = self.locks.setdefault(name, Lock())
        now = asyncio.get_running_loop().time()
        in_time = lock.until is None or now < lock.until
        if lock.token and in_time and not self.is_over(lock.session_id):
            return 0
        lock.token, lock.session_id = self.new_token(), session_id
        lock.until = now + ttl_ms / 1_000 if ttl_ms else None
        return lock.token

    def new_token(self) -> int:
        return self.next_revision()

    def release(self, name: str, token: int) -> None:
        lock = self.locks.setdefault(name, Lock())
        if lock.token != token:
            raise StaleFencingTokenError("not the holder", "STALE_FENCING_TOKEN")
        lock.token = 0

    # ---- tasks

    def submit(self, payload: bytes) -> tuple[StoredTask, bool]:
        for task in self.tasks.values():
            if task.payload == payload:
                return task, True
        task = StoredTask(f"t{self.next_revision()}", payload)
        self.tasks[task.task_id] = task
        return task, False

    def claim(self, max_tasks: int, lease_ttl_ms: int) -> builtins.list[StoredTask]:
        now = asyncio.get_running_loop().time()
        for task in self.tasks.values():
            if task.state is TaskState.CLAIMED and task.until <= now:
                task.state, task.token = TaskState.READY, 0
        found = [task for task in self.tasks.values() if self.claimable(task)][:max_tasks]
        for task in found:
            task.state, task.token = TaskState.CLAIMED, self.new_token()
            task.until = now + lease_ttl_ms / 1_000
            task.attempt += 1
        return found

    def claimable(self, task: StoredTask) -> bool:
        return task.state is TaskState.READY

    def current(self, task_id: str, token: int) -> StoredTask:
        """The task, if the token is the valid one; StaleFencingTokenError otherwise, NotFoundError
        if it is not known (stores that lose tasks)."""
        task = self.tasks.get(task_id)
        if task is None:
            raise NotFoundError("no such task", "TASK_NOT_FOUND")
        expired = task.until <= asyncio.get_running_loop().time()
        if task.state is not TaskState.CLAIMED or task.token != token or expired:
            raise StaleFencingTokenError("not the holder", "STALE_FENCING_TOKEN")
        return task

    def complete(self, task_id: str, token: int, result: bytes) -> None:
        task = self.current(task_id, token)
        task.state, task.result = TaskState.COMPLETED, result

    def fail(self, task_id: str, token: int, *, retryable: bool) -> None:
        task = self.current(task_id, token)
        task.state = TaskState.READY if retryable else TaskState.DEAD


class MemoryKv:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def get(self, key: Key) -> KeyValue | None:
        await asyncio.sleep(LATENCY_S)
        return self._store.read(to_bytes(key))

    async def get_prefix(self, prefix: Key) -> list[KeyValue]:
        await asyncio.sleep(LATENCY_S)
        return self._store.read_prefix(to_bytes(prefix))

    async def put(self, key: Key, value: Key) -> int:
        await asyncio.sleep(LATENCY_S)
        return self._store.write(to_bytes(key), to_bytes(value))

    async def txn(
        self,
        compare: Sequence[Compare] = (),
        success: Sequence[Op] = (),
        failure: Sequence[Op] = (),
    ) -> TxnResult:
        await asyncio.sleep(LATENCY_S)
        succeeded = all(self._store.holds(one) for one in compare)
        for op in success if succeeded else failure:
            if not isinstance(op, Put):
                raise NotImplementedError(op)
            self._store.write(to_bytes(op.key), to_bytes(op.value))
        return TxnResult(succeeded, self._store.last_revision)


class MemoryLocks:
    def __init__(self, store: MemoryStore, session_id: int) -> None:
        self._store, self._session_id = store, session_id
        self._holders = itertools.count()

    async def acquire(self, name: str, *, ttl_ms: int = 0, wait_ms: int = 0) -> LockGrant | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1_000
        while not (token := self._store.acquire(name, ttl_ms, self._session_id)):
            if loop.time() >= deadline:
                return None
            await asyncio.sleep(LATENCY_S)
        holder = f"{id(self):x}/{next(self._holders)}"
        return LockGrant(name, holder, token, self._session_id, ttl_ms, LostEvent())

    async def release(self, grant: LockGrant) -> None:
        await asyncio.sleep(LATENCY_S)
        self._store.release(grant.name, grant.fencing_token)


class MemoryTasks:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def submit(
        self,
        queue: str,
        payload: bytes = b"",
        *,
        idempotency_key: str = "",
        max_attempts: int = 0,
        backoff_initial_ms: int = 0,
        backoff_max_ms: int = 0,
    ) -> SubmittedTask:
        await asyncio.sleep(LATENCY_S)
        task, existed = self._store.submit(payload)
        return SubmittedTask(task.task_id, self._store.last_revision, existed)

    async def claim(
        self,
        queues: Sequence[str],
        *,
        max_tasks: int = 1,
        lease_ttl_ms: int = 15_000,
        wait_ms: int = 0,
    ) -> builtins.list[ClaimedTask]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1_000
        while not (found := self._store.claim(max_tasks, lease_ttl_ms)):
            if loop.time() >= deadline:
                return []
            await asyncio.sleep(LATENCY_S)
        return [
            ClaimedTask(
                task.task_id,
                queues[0],
                "",
                task.payload,
                task.token,
                task.attempt,
                0,
                lease_ttl_ms,
            )
            for task in found
        ]

    async def heartbeat(self, items: Sequence[HeartbeatItem]) -> builtins.list[ItemResult]:
        await asyncio.sleep(LATENCY_S)
        results = []
        for item in items:
            try:
                self._store.current(item.task_id, item.fencing_token)
                results.append(ItemResult())
            except StaleFencingTokenError as error:
                results.append(ItemResult(error))
        return results

    async def complete(self, task: ClaimedTask | TaskHandle, result: bytes = b"") -> ItemResult:
        await asyncio.sleep(LATENCY_S)
        self._store.complete(task.task_id, task.fencing_token, result)
        return ItemResult(state=TaskState.COMPLETED)

    async def fail(
        self, task: ClaimedTask | TaskHandle, error: str, *, retryable: bool = True
    ) -> ItemResult:
        await asyncio.sleep(LATENCY_S)
        self._store.fail(task.task_id, task.fencing_token, retryable=retryable)
        return ItemResult()

    async def list(
        self,
        queue: str = "",
        states: Sequence[TaskState] = (),
        limit: int = 100,
        after: str = "",
    ) -> builtins.list[Task]:
        tasks = self._store.tasks.values()
        return [_shown(task, queue) for task in tasks if not states or task.state in states]


class MemoryClient:
    """One connection with a session, which lives for as long as the connection does."""

    def __init__(self, store: MemoryStore, session: StoredSession, *, ends_session: bool) -> None:
        self._store, self._session, self._ends_session = store, session, ends_session
        self.kv = MemoryKv(store)
        self.locks = MemoryLocks(store, session.session_id)
        self.tasks = MemoryTasks(store)

    async def open_session(self) -> int:
        await asyncio.sleep(LATENCY_S)
        return self._session.session_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.leave(self._session, ended=self._ends_session)


def _shown(task: StoredTask, queue: str) -> Task:
    return Task(
        task_id=task.task_id,
        spec=TaskSpec(queue, task.payload),
        state=task.state,
        attempt=task.attempt,
        create_revision=0,
        mod_revision=0,
        fencing_token=task.token,
        session_id=0,
        worker="",
        lease_remaining_ms=0,
        checkpoint=b"",
        progress_permille=0,
        result=task.result,
        last_error="",
        ready_in_ms=0,
        submitted_unix_ms=0,
        finished_unix_ms=0,
        lost_leases=0,
    )
