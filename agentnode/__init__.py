"""The worker runtime: claims tasks, keeps their leases, runs handlers, commits results once."""

from agentnode.context import AsyncTaskContext, TaskContext
from agentnode.errors import (
    PermanentError,
    RetryLater,
    SideEffectNotDoneError,
    TaskCancelledError,
    UnfinishedSideEffectError,
)
from agentnode.registry import Registry

__all__ = [
    "AsyncTaskContext",
    "PermanentError",
    "Registry",
    "RetryLater",
    "SideEffectNotDoneError",
    "TaskCancelledError",
    "TaskContext",
    "UnfinishedSideEffectError",
]
