"""What every driver can be asked for."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable

from bench.errors import BenchError
from bench.job import Job
from bench.load import Operation


class Driver(ABC):
    """One client of one system.

    Operations, by name, are methods `op_<name>` that return the function a caller repeats:
    `cycle` submit, claim and complete `batch` tasks; `fill` submit `batch` tasks; `put`, `get`,
    `txn` one key; `lock` take and give back one lock nobody else wants; `end_to_end` hand `batch`
    tasks to the framework and wait for the results of all."""

    @abstractmethod
    async def open(self, job: Job) -> None:
        """Connect, and make what the job needs before anything is timed."""

    @abstractmethod
    async def close(self) -> None: ...

    def operation(self, job: Job) -> Operation:
        make: Callable[[Job], Operation] | None = getattr(self, f"op_{job.operation}", None)
        if make is None:
            raise BenchError(f"{job.driver} has no operation {job.operation!r}")
        return make(job)


def payload(job: Job) -> bytes:
    """Bytes that cannot be compressed, as PostgreSQL would do with others; always the same."""
    return random.Random(job.seed).randbytes(job.payload_bytes)
