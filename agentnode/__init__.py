"""The worker runtime: claims tasks, keeps their leases, runs handlers, commits results once."""

# First: how gRPC waits for the network has to be chosen before it is imported.
import agentnode.command  # noqa: F401
from agentnode.config import WorkerConfig
from agentnode.context import AsyncTaskContext, TaskContext
from agentnode.errors import (
    PermanentError,
    RetryLater,
    SideEffectNotDoneError,
    TaskCancelledError,
    UnfinishedSideEffectError,
)
from agentnode.executors import RegistryRunner
from agentnode.registry import Registry
from agentnode.subprocess_runner import ExecRunner
from agentnode.worker import Worker

__all__ = [
    "AsyncTaskContext",
    "ExecRunner",
    "PermanentError",
    "Registry",
    "RegistryRunner",
    "RetryLater",
    "SideEffectNotDoneError",
    "TaskCancelledError",
    "TaskContext",
    "UnfinishedSideEffectError",
    "Worker",
    "WorkerConfig",
]
