"""A task that kills its process: its neighbours complete, and it dies with an explanation."""

from __future__ import annotations

import json
import signal
import uuid
from pathlib import Path

import pytest

from coord.client import Client, TaskSpec, TaskState
from tests.support.agent_processes import agent
from tests.support.rpc import local_node
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

HANDLERS = '''
import os, signal, time
from pathlib import Path
from agentnode import AsyncTaskContext, Registry, TaskContext

registry = Registry()


@registry.task()
def poison(folder: str) -> None:
    """Kills its process once its neighbours run in it."""
    while len(list(Path(folder).glob("neighbour-*"))) < 8:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


@registry.task()
def neighbour(folder: str, ctx: TaskContext) -> dict[str, object]:
    if ctx.attempt == 1:
        ctx.save_checkpoint({"seen": ctx.attempt})
        ctx.flush()
        Path(folder, f"neighbour-{ctx.task_id}").touch()
        time.sleep(60)
    ctx.report_progress(0.5)
    ctx.save_checkpoint({**ctx.checkpoint_json(), "again": True})
    ctx.flush()
    once = ctx.once("effect", lambda: ctx.attempt)
    return {"before": ctx.checkpoint_json(), "once": once, "pid": os.getpid()}


@registry.task()
async def vanish(folder: str, ctx: AsyncTaskContext) -> str:
    marks = Path(folder, f"vanish-{ctx.attempt}")
    marks.touch()
    if ctx.attempt == 1:
        os._exit(3)
    await ctx.flush()
    while not Path(folder, "go").exists():
        ctx.check_cancelled()
        time.sleep(0.01)
    return "unreachable"
'''


async def test_one_poison_among_nine_dies_alone(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    queue, payload = f"q-{uuid.uuid4().hex[:8]}", json.dumps(str(tmp_path)).encode()
    async with local_node() as node, Client(node.address) as client:
        kinds = ["poison"] + ["neighbour"] * 8
        specs = [
            TaskSpec(queue, payload, type=kind, max_attempts=2, backoff_initial_ms=1)
            for kind in kinds
        ]
        tasks = await client.tasks.submit_many(specs)
        run = ["run", "handlers.py", "--queues", queue, "--endpoints", node.address]
        options = ["--slots", "9", "--lease-ttl-ms", "1500"]
        async with agent(tmp_path, *run, *options) as first:
            assert await first.wait(60) == -signal.SIGKILL
        async with agent(tmp_path, *run, *options) as second:
            ids = [task.task_id for task in tasks]
            poison, *neighbours = await client.tasks.wait(ids, timeout_ms=90_000)
            assert second.process.poll() is None, "nobody took the second worker along"
        told = await client.tasks.explain(poison.task_id)
    assert [task.state for task in neighbours] == [TaskState.COMPLETED] * 8, [
        (task.attempt, task.lost_leases, task.last_error) for task in [poison, *neighbours]
    ]
    for task in neighbours:
        result = json.loads(task.result)
        assert result["before"] == {"seen": 1}
        assert result["once"] == task.attempt
        assert task.lost_leases == 1
    assert len({json.loads(task.result)["pid"] for task in neighbours}) == 8, "each apart"
    assert (poison.state, poison.lost_leases, poison.attempt) == (TaskState.DEAD, 1, 3)
    assert "was killed by signal 9 (SIGKILL); it was run apart" in poison.last_error
    assert "was killed by signal 9" in told.summary


async def test_a_task_that_is_run_apart_can_be_cancelled(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    queue, payload = f"q-{uuid.uuid4().hex[:8]}", json.dumps(str(tmp_path)).encode()
    async with local_node() as node, Client(node.address) as client:
        task = await client.tasks.submit(queue, payload, type="vanish")
        run = ["run", "handlers.py", "--queues", queue, "--endpoints", node.address]
        options = ["--lease-ttl-ms", "1000"]
        async with agent(tmp_path, *run, *options) as first:
            assert await first.wait(60) == 3
        async with agent(tmp_path, *run, *options) as process:
            await eventually((tmp_path / "vanish-2").exists, 60)
            await client.tasks.cancel(task.task_id, "not wanted")
            await eventually(lambda: "task dropped" in process.log, 30)
            assert "handler ignores" not in process.log
