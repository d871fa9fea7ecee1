"""Real node processes killed under load: nothing acknowledged is lost, nothing is committed twice,
states agree, and writes go on within a second. `--long` plays every test at full length."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from coord.localcluster import LocalCluster
from tests.support.acknowledged_load import AcknowledgedLoad, losses
from tests.support.faults import acknowledged_more, endpoints, equal_digests, running_cluster
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
SEED = 20_251


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


def writes_since(load: AcknowledgedLoad, before: int, count: int) -> bool:
    return len(load.memory.write_times_s) >= before + count


@pytest.mark.timeout(900)
async def test_random_nodes_killed_and_restarted_under_load(
    cluster: LocalCluster, request: pytest.FixtureRequest
) -> None:
    rounds = 50 if request.config.getoption("--long") else 4
    rng = random.Random(SEED)
    load = AcknowledgedLoad(endpoints(cluster))
    load.start()
    for _ in range(rounds):
        await acknowledged_more(load, 5)
        victim = rng.choice(cluster.node_ids)
        await asyncio.to_thread(cluster.kill, victim)
        await acknowledged_more(load, 5)
        await asyncio.to_thread(cluster.start, victim)
    await load.stop()
    assert await losses(endpoints(cluster), load.memory) == []
    await equal_digests(cluster)


@pytest.mark.timeout(300)
async def test_the_whole_cluster_killed_at_once_loses_nothing(
    cluster: LocalCluster, request: pytest.FixtureRequest
) -> None:
    rounds = 10 if request.config.getoption("--long") else 2
    load = AcknowledgedLoad(endpoints(cluster))
    load.start()
    for _ in range(rounds):
        await acknowledged_more(load, 20)
        for node_id in cluster.node_ids:
            await asyncio.to_thread(cluster.kill, node_id)
        await asyncio.to_thread(cluster.start)
    await acknowledged_more(load, 5)
    await load.stop()
    assert await losses(endpoints(cluster), load.memory) == []
    await equal_digests(cluster)


@pytest.mark.timeout(900)
async def test_writes_go_on_soon_after_the_leader_is_killed(
    cluster: LocalCluster, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    kills = 100 if request.config.getoption("--long") else 5
    load = AcknowledgedLoad(endpoints(cluster), submitters=1, workers=1)
    load.start()
    loop = asyncio.get_running_loop()
    gaps_ms = []
    for _ in range(kills):
        await acknowledged_more(load, 3)
        leader = await asyncio.to_thread(cluster.leader)
        assert leader is not None
        await asyncio.to_thread(cluster.start)
        killed_at = loop.time()
        await asyncio.to_thread(cluster.kill, leader)
        writes = len(load.memory.write_times_s)
        await eventually(partial(writes_since, load, writes, 5), 30, "writes again")
        gaps_ms.append(load.longest_gap_ms(killed_at - 0.1, loop.time()))
        await asyncio.to_thread(cluster.start, leader)
    await load.stop()
    assert await losses(endpoints(cluster), load.memory) == []
    gaps_ms.sort()
    report = {
        "kills": kills,
        "median_ms": round(statistics.median(gaps_ms)),
        "worst_ms": round(gaps_ms[-1]),
        "gaps_ms": [round(gap) for gap in gaps_ms],
    }
    with capsys.disabled():
        print(f"\nwrite gap after kill -9 of the leader: {json.dumps(report)}")
    assert report["median_ms"] < 1_000, report
