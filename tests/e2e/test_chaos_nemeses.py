"""Nemeses of processes, links and leadership on real nodes: each does what it says, and heals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chaos.testbed.cluster import ClusterUnderTest
from chaos.testbed.proxy import CLEAR
from coord.localcluster.processes import ProcessState
from tests.support.chaos_clusters import make, running, writes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterUnderTest]:
    async with running(tmp_path_factory.mktemp("nemeses") / "cluster") as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(shared: ClusterUnderTest) -> AsyncIterator[ClusterUnderTest]:
    """Works before and after."""
    await shared.heal()
    assert await writes(shared)
    yield shared
    assert await writes(shared)


async def test_processes_are_killed_paused_and_restarted(cluster: ClusterUnderTest) -> None:
    assert await writes(cluster)
    pids = {node_id: cluster.pid(node_id) for node_id in cluster.node_ids}

    pause = make("pause", "majority", cluster)
    await pause.begin()
    states = [cluster.state(node_id) for node_id in cluster.node_ids]
    assert states.count(ProcessState.PAUSED) == 2
    assert not await writes(cluster, 1_000)
    await pause.end()
    assert await writes(cluster)
    assert pids == {node_id: cluster.pid(node_id) for node_id in cluster.node_ids}

    kill = make("kill-all", "all", cluster)
    await kill.begin()
    assert cluster.running() == []
    await kill.end()
    assert await writes(cluster)
    assert all(cluster.pid(node_id) != pid for node_id, pid in pids.items())

    lost = make("lost-minority", "minority", cluster)
    await lost.begin()
    assert len(cluster.running()) == 2
    assert await writes(cluster), "the majority goes on"
    await lost.end()
    assert await writes(cluster)

    pids = {node_id: cluster.pid(node_id) for node_id in cluster.node_ids}
    rolling = make("rolling-restart", "", cluster)
    await rolling.begin()
    await rolling.last(0)
    assert await writes(cluster)
    assert all(cluster.pid(node_id) != pid for node_id, pid in pids.items())

    leader = await cluster.leader()
    assert leader is not None
    before = cluster.pid(leader)
    restart = make("restart", "leader", cluster)
    await restart.begin()
    await restart.end()
    assert cluster.pid(leader) != before
    assert await writes(cluster)
    cluster.note_unexpected_ends(0)
    assert cluster.unexpected_ends == []


async def test_the_network_is_cut_where_it_says(cluster: ClusterUnderTest) -> None:
    assert await writes(cluster)
    before = await cluster.leader()
    assert before is not None

    isolate = make("partition", "isolate-leader", cluster)
    await isolate.begin()
    assert await writes(cluster), "the majority goes on"
    assert await cluster.leader() != before
    await isolate.end()

    assert await writes(cluster)
    everything = [make("partition", "isolate-one", cluster, n) for n in cluster.node_ids]
    for nemesis in everything:
        await nemesis.begin()
    assert not await writes(cluster, 1_500), "nobody has a majority"
    for nemesis in everything:
        await nemesis.end()
    assert await writes(cluster)

    slow = make("delay", "all", cluster, (20, 20))
    await slow.begin()
    started = time.monotonic()
    assert await writes(cluster)
    assert time.monotonic() - started > 0.04
    await slow.end()
    assert all(link.condition == CLEAR for link in cluster.links.all())


async def test_leadership_moves(cluster: ClusterUnderTest) -> None:
    assert await writes(cluster)
    term = max(term for _, term in (await cluster.roles()).values())
    transfer = make("transfer", "", cluster)
    await transfer.begin()
    await transfer.last(3.0)
    await transfer.end()
    assert await writes(cluster)
    assert max(term for _, term in (await cluster.roles()).values()) > term


async def test_a_node_that_ends_by_itself_is_noticed(cluster: ClusterUnderTest) -> None:
    os.kill(cluster.pid("n2"), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not cluster.unexpected_ends:
        assert time.monotonic() < deadline
        cluster.note_unexpected_ends(7)
    assert [(end.node_id, end.at_ns) for end in cluster.unexpected_ends] == [("n2", 7)]
