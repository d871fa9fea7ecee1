"""Submits the stages one after another and waits in between.

Every task has an idempotency key made from the run's name, so a driver that was stopped half-way
can be started again: what was submitted before is found, not repeated.
"""

from __future__ import annotations

import json
import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from coord.client import Client, Task, TaskSpec, TaskState
from examples.stdlib_report.corpus import Module

STAGES = ("analyse", "reduce", "report")
BATCH = 200
WAIT_STEP_MS = 30_000
# A worker that dies uses up an attempt without any fault of the task.
MAX_ATTEMPTS = 10
FAILED = frozenset({TaskState.DEAD, TaskState.CANCELLED})

StageBegins = Callable[[str, int], None]


class StageError(Exception):
    """A task of a stage came to an end without a result."""


class Driver:
    """One run of the report. `on_stage` is told each stage's name and number of tasks."""

    def __init__(self, client: Client, run: str, on_stage: StageBegins) -> None:
        self._client = client
        self._run = run
        self._on_stage = on_stage

    async def make_report(self, modules: Sequence[Module], path: Path) -> None:
        """Returns when the report lies at `path`, which is absolute. StageError when a task failed
        for good."""
        figures = await self._stage("analyse", {m.name: asdict(m) for m in modules})
        by_package: dict[str, list[Any]] = defaultdict(list)
        for module in modules:
            by_package[module.package].append(figures[module.name])
        orders = {p: {"package": p, "modules": found} for p, found in by_package.items()}
        packages = await self._stage("reduce", orders)
        order = {
            "path": str(path),
            "python_version": platform.python_version(),
            "packages": list(packages.values()),
        }
        await self._stage("report", {"report": order})

    async def _stage(self, stage: str, orders: dict[str, Any]) -> dict[str, Any]:
        """Submits a task per order and returns the results under the same names."""
        self._on_stage(stage, len(orders))
        specs = [
            TaskSpec(
                queue=stage,
                type=stage,
                payload=json.dumps(order).encode(),
                idempotency_key=f"{self._run}/{name}",
                max_attempts=MAX_ATTEMPTS,
                backoff_initial_ms=100,
            )
            for name, order in orders.items()
        ]
        task_ids = []
        for begin in range(0, len(specs), BATCH):
            submitted = await self._client.tasks.submit_many(specs[begin : begin + BATCH])
            task_ids += [task.task_id for task in submitted]
        ended = []
        for begin in range(0, len(task_ids), BATCH):
            ended += await self._wait(task_ids[begin : begin + BATCH])
        return {name: json.loads(task.result) for name, task in zip(orders, ended, strict=True)}

    async def _wait(self, task_ids: list[str]) -> list[Task]:
        """The tasks, in this order, once all have completed."""
        while True:
            tasks = await self._client.tasks.wait(task_ids, timeout_ms=WAIT_STEP_MS)
            for task in tasks:
                if task.state in FAILED:
                    raise StageError(f"task {task.task_id} is {task.state.name}: {task.last_error}")
            if all(task.state is TaskState.COMPLETED for task in tasks):
                return tasks
