"""Nemeses of agents, on real agent processes: each does what it says, and heals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.agents import LEASE_MS, QUEUE
from chaos.cluster import ClusterUnderTest
from coord.client import Client, TaskSpec, TaskState
from coord.localcluster.processes import ProcessState
from tests.support.chaos_clusters import make, running
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


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
    """Submit tasks; return once agents hold some of them."""
    specs = [TaskSpec(QUEUE, json.dumps(n).encode()) for n in range(count)]
    task_ids = [task.task_id for task in await client.tasks.submit_many(specs)]
    while len(await client.tasks.list(QUEUE, [TaskState.CLAIMED])) < 4:
        continue
    return task_ids


async def test_killed_agents_leave_their_tasks_to_others(
    cluster: ClusterUnderTest, client: Client
) -> None:
    task_ids = await work(client, 20)
    nemesis = make("agent-kill", "all", cluster)
    await nemesis.begin()
    agents = cluster.agents
    assert {agents.state(name) for name in agents.names} == {ProcessState.DOWN}
    await nemesis.end()
    assert {agents.state(name) for name in agents.names} == {ProcessState.RUNNING}
    tasks = await client.tasks.wait(task_ids, timeout_ms=30_000)
    assert {task.state for task in tasks} == {TaskState.COMPLETED}
    assert max(task.attempt for task in tasks) > 1, "somebody's task was done by another"


async def test_a_zombie_wakes_after_its_lease_and_commits_nothing(
    cluster: ClusterUnderTest, client: Client
) -> None:
    task_ids = await work(client, 20)
    nemesis = make("agent-zombie", "one", cluster, "agent-1")
    await nemesis.begin()
    assert cluster.agents.state("agent-2") is ProcessState.RUNNING
    tasks = await client.tasks.wait(task_ids, timeout_ms=LEASE_MS + 30_000)
    await eventually(lambda: cluster.agents.state("agent-1") is ProcessState.PAUSED, 5)
    await nemesis.end()
    assert cluster.agents.state("agent-1") is ProcessState.RUNNING
    log = cluster.agents.log_path("agent-1")
    await eventually(lambda: "lease lost" in log.read_text(), 15, "it has noticed")
    for task in tasks:
        assert json.loads(task.result)["attempt"] == task.attempt
    assert await client.tasks.wait(task_ids) == tasks, "nothing was changed by the zombie"
