"""What workloads need of a store. `coord.client.Client` has it; so have the stores in memory that
the checkers are tried on."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from coord.client import (
    ClaimedTask,
    HeartbeatItem,
    ItemResult,
    KeyValue,
    LockGrant,
    SubmittedTask,
    Task,
    TaskHandle,
    TaskState,
    TxnResult,
)
from coord.client.kv import Compare, Key, Op


class KvPort(Protocol):
    async def get(self, key: Key) -> KeyValue | None: ...

    async def get_prefix(self, prefix: Key) -> list[KeyValue]: ...

    async def put(self, key: Key, value: Key) -> int: ...

    async def txn(
        self,
        compare: Sequence[Compare] = (),
        success: Sequence[Op] = (),
        failure: Sequence[Op] = (),
    ) -> TxnResult: ...


class LocksPort(Protocol):
    async def acquire(
        self, name: str, *, ttl_ms: int = 0, wait_ms: int = 0
    ) -> LockGrant | None: ...

    async def release(self, grant: LockGrant) -> None: ...


class TasksPort(Protocol):
    async def submit(
        self,
        queue: str,
        payload: bytes = b"",
        *,
        idempotency_key: str = "",
        max_attempts: int = 0,
        backoff_initial_ms: int = 0,
        backoff_max_ms: int = 0,
    ) -> SubmittedTask: ...

    async def claim(
        self,
        queues: Sequence[str],
        *,
        max_tasks: int = 1,
        lease_ttl_ms: int = 15_000,
        wait_ms: int = 0,
    ) -> list[ClaimedTask]: ...

    async def heartbeat(self, items: Sequence[HeartbeatItem]) -> builtins.list[ItemResult]: ...

    async def complete(self, task: ClaimedTask | TaskHandle, result: bytes = b"") -> ItemResult: ...

    async def fail(
        self, task: ClaimedTask | TaskHandle, error: str, *, retryable: bool = True
    ) -> ItemResult: ...

    async def list(
        self, queue: str = "", states: Sequence[TaskState] = (), limit: int = 100, after: str = ""
    ) -> builtins.list[Task]: ...


class StoreClient(Protocol):
    """One connection to the store, used as an async context manager."""

    @property
    def kv(self) -> KvPort: ...

    @property
    def locks(self) -> LocksPort: ...

    @property
    def tasks(self) -> TasksPort: ...

    async def open_session(self) -> int: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
