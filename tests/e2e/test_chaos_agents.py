"""Nemeses of agents, on real agent processes: each does what it says, and heals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from chaos.nemeses.base import Nemesis
from chaos.testbed.agents import LEASE_MS, QUEUE
from chaos.testbed.cluster import ClusterUnderTest
from coord.client import Client, TaskSpec, TaskState
from coord.localcluster.processes import ProcessState
from tests.support.chaos_clusters import make, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ClusterUnderTest]:
    """One node and two agents with more to do than they can do at once."""
    async with running(tmp_path / "cluster", 1) as cluster:
        cluster.agents.up(2, cluster.endpoints)
        yield cluster
    assert cluster.agents.names == []


@pytest.fixture
async def client(cluster: ClusterUnderTest) -> AsyncIterator[Client]:
    async with Client(cluster.endpoints, name="test") as client:
        yield client


async def work(client: Client, count: int) -> list[str]:
    """Submit tasks once both agents are there; return once they hold as many as they can."""

    async def connected() -> bool:
        return {one.name for one in await client.sessions.list("worker")} >= {"agent-1", "agent-2"}

    await until(connected, "both agents are connected")
    specs = [TaskSpec(QUEUE, json.dumps(n).encode()) for n in range(count)]
    task_ids: list[str] = []

    async def busy() -> bool:
        """There is always enough to do, however late one of them begins."""
        ready = await client.tasks.list(QUEUE, [TaskState.READY]) if task_ids else []
        if len(ready) < count // 2:
            task_ids.extend(task.task_id for task in await client.tasks.submit_many(specs))
        return len(await client.tasks.list(QUEUE, [TaskState.CLAIMED])) == 4

    await until(busy, "both agents have their hands full")
    return task_ids


async def hurt(nemesis: Nemesis, client: Client, *victims: str) -> None:
    """Begin, as often as it takes to find these agents with tasks in their hands."""

    async def found() -> bool:
        await nemesis.begin()
        claimed = await client.tasks.list(QUEUE, [TaskState.CLAIMED])
        if {task.worker for task in claimed} >= set(victims):
            return True
        await nemesis.end()
        return False

    await until(found, f"{victims} hold tasks")


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within a minute: {what}"
        await asyncio.sleep(0.02)


async def test_killed_agents_leave_their_tasks_to_others(
    cluster: ClusterUnderTest, client: Client
) -> None:
    task_ids = await work(client, 40)
    nemesis = make("agent-kill", "all", cluster)
    await hurt(nemesis, client, "agent-1", "agent-2")
    agents = cluster.agents
    assert {agents.state(name) for name in agents.names} == {ProcessState.DOWN}
    await nemesis.end()
    assert {agents.state(name) for name in agents.names} == {ProcessState.RUNNING}
    tasks = await client.tasks.wait(task_ids, timeout_ms=90_000)
    assert {task.state for task in tasks} == {TaskState.COMPLETED}
    assert max(task.attempt for task in tasks) > 1, "somebody's task was done by another"


async def test_a_zombie_wakes_after_its_lease_and_commits_nothing(
    cluster: ClusterUnderTest, client: Client
) -> None:
    task_ids = await work(client, 40)
    nemesis = make("agent-zombie", "one", cluster, "agent-1")
    await hurt(nemesis, client, "agent-1")
    assert cluster.agents.state("agent-2") is ProcessState.RUNNING
    tasks = await client.tasks.wait(task_ids, timeout_ms=LEASE_MS + 90_000)
    await eventually(lambda: cluster.agents.state("agent-1") is ProcessState.PAUSED, 30)
    await nemesis.end()
    assert cluster.agents.state("agent-1") is ProcessState.RUNNING
    log = cluster.agents.log_path("agent-1")
    await eventually(lambda: "lease lost" in log.read_text(), 60, "it has noticed")
    for task in tasks:
        assert json.loads(task.result)["attempt"] == task.attempt
    assert await client.tasks.wait(task_ids) == tasks, "nothing was changed by the zombie"
