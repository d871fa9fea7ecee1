"""What the worker needs of the cluster's client, so that tests can stand in for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from coord.client import (
    ClaimedTask,
    CoordError,
    DefiniteError,
    HeartbeatItem,
    IndefiniteError,
    ItemResult,
)

__all__ = [
    "ClaimedTask",
    "CoordError",
    "DefiniteError",
    "HeartbeatItem",
    "IndefiniteError",
    "ItemResult",
    "KeyValue",
    "KvApi",
    "TasksApi",
    "is_worth_repeating",
]


class KeyValue(Protocol):
    """One key as the store holds it."""

    @property
    def value(self) -> bytes: ...
    @property
    def mod_revision(self) -> int: ...


class TasksApi(Protocol):
    """The part of `Client.tasks` a worker uses."""

    async def claim(
        self,
        queues: Sequence[str],
        *,
        max_tasks: int = 1,
        lease_ttl_ms: int = 15_000,
        wait_ms: int = 0,
        worker: str = "",
    ) -> Sequence[ClaimedTask]: ...

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

    async def release(self, task: ClaimedTask, *, delay_ms: int = 0) -> object: ...


class KvApi(Protocol):
    """The part of `Client.kv` the side-effect ledger uses."""

    async def get(self, key: str) -> KeyValue | None: ...

    async def compare_and_set(self, key: str, expected_mod_revision: int, value: bytes) -> bool: ...


def is_worth_repeating(error: CoordError) -> bool:
    """The call may succeed later: nobody answered, or nobody knows whether it was carried out."""
    return error.retryable or isinstance(error, IndefiniteError)
