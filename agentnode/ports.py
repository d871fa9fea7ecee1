"""What the worker needs of the cluster's client, so that tests can stand in for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from coord.client import (
    ClaimedTask,
    CoordError,
    DefiniteError,
    HeartbeatItem,
    IndefiniteError,
    ItemResult,
    LostTask,
)

__all__ = [
    "ClaimedTask",
    "CoordError",
    "DefiniteError",
    "HeartbeatItem",
    "HeldTasksApi",
    "IndefiniteError",
    "ItemResult",
    "KeyValue",
    "KvApi",
    "LostTask",
    "TasksApi",
    "WorkApi",
    "is_worth_repeating",
]


class KeyValue(Protocol):
    """One key as the store holds it."""

    @property
    def value(self) -> bytes: ...
    @property
    def mod_revision(self) -> int: ...


class HeldTasksApi(Protocol):
    """What can be said of tasks that are held."""

    async def heartbeat(
        self, items: Sequence[HeartbeatItem], *, timeout_ms: int | None = None
    ) -> Sequence[ItemResult]: ...

    async def complete(self, task: ClaimedTask, result: bytes) -> object: ...

    async def fail(
        self,
        task: ClaimedTask,
        error: str,
        *,
        retryable: bool = True,
        retry_after_ms: int | None = None,
    ) -> object: ...

    async def release(
        self, task: ClaimedTask, *, delay_ms: int = 0, reason: str = ""
    ) -> object: ...


class WorkApi(HeldTasksApi, AbstractAsyncContextManager[object], Protocol):
    """The part of `coord.client.Work` a worker uses."""

    @property
    def in_use(self) -> int: ...

    def __aiter__(self) -> AsyncIterator[ClaimedTask]: ...

    async def connected(self) -> None: ...

    async def stop(self) -> None: ...

    def keep_slot(self, task: ClaimedTask) -> None: ...

    def free_slot(self, task: ClaimedTask) -> None: ...


class TasksApi(Protocol):
    """The part of `Client.tasks` a worker uses."""

    def work(
        self,
        queues: Sequence[str],
        *,
        slots: int,
        lease_ttl_ms: int,
        worker: str,
        on_lost: Callable[[LostTask], object],
        on_trouble: Callable[[CoordError], object],
        on_connected: Callable[[], object],
    ) -> WorkApi: ...


class KvApi(Protocol):
    """The part of `Client.kv` the side-effect ledger uses."""

    async def get(self, key: str) -> KeyValue | None: ...

    async def compare_and_set(self, key: str, expected_mod_revision: int, value: bytes) -> bool: ...


def is_worth_repeating(error: CoordError) -> bool:
    """The call may succeed later: nobody answered, or nobody knows whether it was carried out."""
    return error.retryable or isinstance(error, IndefiniteError)
