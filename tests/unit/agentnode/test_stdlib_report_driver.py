"""The driver against a stand-in for the store that carries tasks out with the real handlers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coord.client import SubmittedTask, TaskSpec, TaskState
from examples.stdlib_report.corpus import library_folder, list_modules
from examples.stdlib_report.driver import Driver, StageError
from examples.stdlib_report.single_process import compute_report
from examples.stdlib_report.tasks import registry


class Store:
    """Knows tasks by queue and idempotency key, like the real one."""

    def __init__(self) -> None:
        self.tasks: dict[str, Any] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self.executions = 0
        self.dead: set[str] = set()

    async def submit_many(self, specs: Sequence[TaskSpec]) -> list[SubmittedTask]:
        return [self._submit(spec) for spec in specs]

    def _submit(self, spec: TaskSpec) -> SubmittedTask:
        key = (spec.queue, spec.idempotency_key)
        if key in self._keys:
            return SubmittedTask(self._keys[key], 1, True)
        task_id = self._keys[key] = f"t{len(self.tasks) + 1}"
        handler = registry.find(spec.type, spec.queue)
        assert handler is not None
        result = handler.encode(handler.function(handler.decode(spec.payload)))
        self.executions += 1
        state = TaskState.DEAD if spec.idempotency_key in self.dead else TaskState.COMPLETED
        self.tasks[task_id] = SimpleNamespace(
            task_id=task_id, state=state, result=result, last_error="boom"
        )
        return SubmittedTask(task_id, 1, False)

    async def wait(self, task_ids: Sequence[str], *, timeout_ms: int) -> list[Any]:
        return [self.tasks[task_id] for task_id in task_ids]


def driver_of(store: Store, stages: list[tuple[str, int]]) -> Driver:
    client: Any = SimpleNamespace(tasks=store)
    return Driver(client, "run", lambda stage, count: stages.append((stage, count)))


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_the_stages_make_the_reference_report(tmp_path: Path) -> None:
    modules = list_modules(library_folder(), limit=40)
    packages = len({module.package for module in modules})
    store, stages = Store(), list[tuple[str, int]]()
    await driver_of(store, stages).make_report(modules, tmp_path / "r.md")
    assert stages == [("analyse", 40), ("reduce", packages), ("report", 1)]
    reference = compute_report(library_folder(), modules)
    assert (tmp_path / "r.md").read_text() == reference
    assert names(tmp_path) == ["r.md"]


async def test_a_driver_started_again_repeats_nothing(tmp_path: Path) -> None:
    modules = list_modules(library_folder(), limit=10)
    store = Store()
    await driver_of(store, []).make_report(modules, tmp_path / "r.md")
    done = store.executions
    await driver_of(store, []).make_report(modules, tmp_path / "r.md")
    assert store.executions == done


async def test_a_task_that_fails_for_good_ends_the_run(tmp_path: Path) -> None:
    modules = list_modules(library_folder(), limit=10)
    store = Store()
    store.dead.add(f"run/{modules[3].name}")
    with pytest.raises(StageError, match="is DEAD: boom"):
        await driver_of(store, []).make_report(modules, tmp_path / "r.md")
    assert not (tmp_path / "r.md").exists()
