"""Real node processes killed under load: nothing acknowledged is lost, nothing is committed twice,
states agree, and writes go on within a second. `--long` plays every test at full length."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from coord.client import Client
from coord.localcluster import LocalCluster
from coord.localcluster.ports import free_base_port
from tests.support.acknowledged_load import AcknowledgedLoad, losses

pytestmark = pytest.mark.integration
SEED = 20_251


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path / "cluster", nodes=3, base_port=free_base_port(3))
    cluster.up()
    yield cluster
    cluster.down(grace_ms=5_000, wipe=True)


def endpoints(cluster: LocalCluster) -> str:
    return ",".join(cluster.endpoints)


async def equal_digests(cluster: LocalCluster, within_s: float = 30.0) -> dict[str, str]:
    """Digest per node, once all stand at one applied index. AssertionError if they differ there,
    or do not get there in time."""
    deadline = asyncio.get_running_loop().time() + within_s
    async with Client(endpoints(cluster), name="digests") as client:
        while True:
            digests = await client.cluster.digests()
            if (
                len(digests) == len(cluster.node_ids)
                and len({d.applied_index for d in digests}) == 1
            ):
                by_node = {d.node_id: d.digest for d in digests}
                assert len(set(by_node.values())) == 1, f"states differ: {by_node}"
                return by_node
            assert asyncio.get_running_loop().time() < deadline, f"not level: {digests}"
            await asyncio.sleep(0.05)


async def until(condition, within_s: float, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited in vain: {what}"
        await asyncio.sleep(0.01)


async def acknowledged_more(load: AcknowledgedLoad, count: int, within_s: float = 30.0) -> None:
    """Returns when `count` more submits and completions were acknowledged."""
    memory = load.memory
    submitted, completed = len(memory.submitted) + count, len(memory.completed) + count
    await until(
        lambda: len(memory.submitted) >= submitted and len(memory.completed) >= completed,
        within_s,
        f"{count} more acknowledged tasks: {len(memory.submitted)}/{submitted} submitted, "
        f"{len(memory.completed)}/{completed} completed",
    )


@pytest.mark.timeout(900)
async def test_random_nodes_killed_and_restarted_under_load(
    cluster: LocalCluster, request: pytest.FixtureRequest
) -> None:
    rounds = 50 if request.config.getoption("--long") else 6
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
    kills = 100 if request.config.getoption("--long") else 9
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
        await until(lambda n=writes: len(load.memory.write_times_s) >= n + 5, 30, "writes again")  # type: ignore[misc]
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
