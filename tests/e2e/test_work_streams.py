"""Workers on their streams while leaders are killed: nothing is lost, nothing committed twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from coord.client import ClaimedTask, Client, CoordError, TaskSpec, TaskState, Work
from tests.support.faults import endpoints, running_cluster
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
TASKS = 300
SLOTS = 4


async def test_leaders_killed_in_mid_stream_lose_no_task_and_commit_none_twice(
    tmp_path: Path,
) -> None:
    """Leases outlast the test by far: a task whose delivery was lost would never come again, and
    one that came again would show a second attempt."""
    committed: Counter[str] = Counter()
    most_at_once = 0
    troubles: list[CoordError] = []

    async def serve(client: Client) -> None:
        nonlocal most_at_once

        async def finish(work: Work, task: ClaimedTask) -> None:
            await work.complete(task, task.payload, timeout_ms=30_000)
            committed[task.task_id] += 1

        async with (
            client.tasks.work(
                ["q"], slots=SLOTS, lease_ttl_ms=600_000, on_trouble=troubles.append
            ) as work,
            asyncio.TaskGroup() as group,
        ):
            async for task in work:
                most_at_once = max(most_at_once, work.in_use)
                group.create_task(finish(work, task))

    with running_cluster(tmp_path / "cluster") as cluster:
        addresses = endpoints(cluster)
        async with Client(addresses, timeout_ms=30_000) as client:
            specs = [TaskSpec(queue="q", payload=b"%d" % n) for n in range(TASKS)]
            submitted = await client.tasks.submit_many(specs)
            workers = [Client(addresses, session_ttl_ms=60_000) for _ in range(3)]
            serving = [asyncio.create_task(serve(worker)) for worker in workers]
            try:
                for part in (1, 2):
                    await eventually(
                        lambda n=part: sum(committed.values()) >= n * TASKS // 3,  # type: ignore[misc]
                        timeout_s=30,
                    )
                    leader = await asyncio.to_thread(cluster.leader)
                    assert leader is not None
                    await asyncio.to_thread(cluster.kill, leader)
                    await asyncio.to_thread(cluster.start, leader)
                await eventually(lambda: sum(committed.values()) >= TASKS, timeout_s=30)
                done = await client.tasks.wait([task.task_id for task in submitted])
            finally:
                for task in serving:
                    task.cancel()
                await asyncio.gather(*serving, return_exceptions=True)
                await asyncio.gather(*(worker.close() for worker in workers))
    assert set(committed) == {task.task_id for task in submitted}
    assert set(committed.values()) == {1}
    assert {(task.state, task.attempt, task.lost_leases) for task in done} == {
        (TaskState.COMPLETED, 1, 0)
    }
    assert most_at_once <= SLOTS
    assert troubles, "no stream broke: nothing was tested"
