"""Real nodes without data: a new cluster needs all its members once, and a node that has lost its
data directory under load comes back by itself and loses nothing that was acknowledged."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from coord.client import Client
from coord.localcluster import LocalCluster
from tests.support.acknowledged_load import AcknowledgedLoad, losses
from tests.support.faults import (
    acknowledged_more,
    endpoints,
    equal_digests,
    leader_and_followers,
    own_process,
    running_cluster,
    wait_for_log,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


def roles(cluster: LocalCluster) -> dict[str, str]:
    return {node.node_id: node.role for node in cluster.status()}


@pytest.mark.timeout(300)
async def test_followers_that_lose_their_data_under_load_come_back(cluster: LocalCluster) -> None:
    load = AcknowledgedLoad(endpoints(cluster))
    load.start()
    for _ in range(2):
        await acknowledged_more(load, 20)
        leader, (victim, _) = await asyncio.to_thread(leader_and_followers, cluster)
        await asyncio.to_thread(cluster.kill, victim)
        shutil.rmtree(cluster.data_directory(victim))
        await acknowledged_more(load, 5)
        await asyncio.to_thread(cluster.start, victim)
        for _ in range(100):
            if (await asyncio.to_thread(roles, cluster))[victim] == "follower":
                break
            await asyncio.sleep(0.1)
        assert (await asyncio.to_thread(roles, cluster))[victim] in ("follower", "leader")
        await asyncio.to_thread(cluster.kill, leader)  # it takes the one that came back to go on
        await acknowledged_more(load, 5)
        await asyncio.to_thread(cluster.start, leader)
    await load.stop()
    assert await losses(endpoints(cluster), load.memory) == []
    await equal_digests(cluster)


@pytest.mark.timeout(120)
async def test_a_new_cluster_waits_for_all_its_members(cluster: LocalCluster) -> None:
    await asyncio.to_thread(cluster.down)
    for node_id in cluster.node_ids:
        shutil.rmtree(cluster.data_directory(node_id))
    first, second, last = cluster.node_ids
    with ExitStack() as stack:
        logs = [stack.enter_context(own_process(cluster, node_id)) for node_id in (first, second)]
        for log in logs:
            line = await asyncio.to_thread(wait_for_log, log, "replica_does_not_vote_yet")
            assert f"waiting for an answer from {last}" in line
            assert "all its members to be up once" in line
        assert all("role=leader" not in log.read_text() for log in logs)
        stack.enter_context(own_process(cluster, last))
        async with Client(endpoints(cluster), name="first", timeout_ms=10_000) as client:
            await client.kv.put("a", b"1")
        everything = logs[0].read_text()
        assert everything.count("replica_does_not_vote_yet") == 1


@pytest.mark.timeout(120)
async def test_a_node_without_data_does_not_vote_while_a_member_is_missing(
    cluster: LocalCluster,
) -> None:
    """Only one node has the data then: nobody can know that it is all of it."""
    async with Client(endpoints(cluster), name="first", timeout_ms=10_000) as client:
        await client.kv.put("a", b"1")
    leader, (wiped, away) = await asyncio.to_thread(leader_and_followers, cluster)
    await asyncio.to_thread(cluster.kill, wiped)
    await asyncio.to_thread(cluster.kill, away)
    shutil.rmtree(cluster.data_directory(wiped))
    with own_process(cluster, wiped) as log:
        line = await asyncio.to_thread(wait_for_log, log, "replica_does_not_vote_yet")
        assert f"waiting for an answer from {away}" in line
        assert "role=follower" not in log.read_text()
        await asyncio.to_thread(cluster.start, away)
        await eventually(lambda: "role=follower" in log.read_text(), 20, "admitted")
        await asyncio.to_thread(cluster.kill, leader)
        async with Client(endpoints(cluster), name="last", timeout_ms=10_000) as client:
            found = await client.kv.get("a")
            assert found is not None
            assert found.value == b"1"
