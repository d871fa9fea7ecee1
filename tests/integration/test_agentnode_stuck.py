"""A real worker whose slots hang: seen in `worker list` and `explain`, and started anew."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest

from coord.client import Client, TaskState
from tests.support.agent_processes import agent
from tests.support.rpc import local_node
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

HANDLERS = """
import time
from pathlib import Path
from agentnode import Registry

registry = Registry()


@registry.task(timeout_ms=200)
def hang(_: object) -> None:
    time.sleep(3600)


@registry.task()
def quick(_: object) -> str:
    return "done"
"""


async def test_stuck_slots_are_shown_and_the_worker_is_started_anew(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    queue = f"q-{uuid.uuid4().hex[:8]}"
    async with local_node() as node, Client(node.address) as client:
        hanging = await client.tasks.submit(queue, type="hang", max_attempts=1)
        run = ["run", "handlers.py", "--queues", queue, "--endpoints", node.address]
        async with agent(tmp_path, *run, "--restart-stuck-after", "4000") as process:
            await eventually(lambda: "keeps its slot" in process.log, 30)
            waiting = await client.tasks.submit(queue, type="quick")
            for _ in range(200):
                (worker,) = await client.sessions.list(kind="worker")
                if worker.stuck:
                    break
                await asyncio.sleep(0.05)
            assert (worker.stuck, worker.tasks_held) == ((hanging.task_id,), 0)
            told = await client.tasks.explain(waiting.task_id)
            assert told.reasons == ("NEXT", "STUCK_SLOTS")
            assert f"handlers of {hanging.task_id} do not end and keep 1 of 1 slots" in told.summary
            (ended,) = await client.tasks.wait([waiting.task_id], timeout_ms=60_000)
            assert ended.state is TaskState.COMPLETED
            assert process.log.count("worker started") == 2
            (worker,) = await client.sessions.list(kind="worker")
            assert worker.stuck == ()
