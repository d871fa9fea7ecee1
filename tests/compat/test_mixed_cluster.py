"""Clusters with nodes of two builds, as during a rolling upgrade: real processes under load."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from coord.client import Client
from coord.client.transport.errors import FailedPreconditionError
from coord.core.base.levels import HIGHEST_LEVEL
from coord.localcluster import LocalCluster
from coord.localcluster.ports import free_base_port
from tests.support.acknowledged_load import AcknowledgedLoad, losses
from tests.support.faults import acknowledged_more, endpoints, equal_digests, lead
from tests.support.mixed_cluster import Churn, MixedCluster
from tests.support.old_build import NEW, Build
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

# States are compared all the time, and taken and restored at indexes that differ between nodes.
SETTINGS: dict[str, str | int | bool] = {
    "state_check_interval_ms": 200,
    "snapshot_entries": 200,
    "keep_entries": 50,
}


@pytest.fixture
def nodes(tmp_path: Path, old: Build) -> Iterator[MixedCluster]:
    """Three of the old build."""
    cluster = LocalCluster(
        tmp_path / "cluster", nodes=3, base_port=free_base_port(3), settings=SETTINGS
    )
    try:
        yield MixedCluster(cluster, old)
    finally:
        cluster.down(grace_ms=3_000, wipe=True)


@asynccontextmanager
async def under_load(nodes: MixedCluster) -> AsyncIterator[tuple[AcknowledgedLoad, Churn]]:
    """Clients work meanwhile; afterwards nothing is lost, and all states are the same."""
    cluster = nodes.cluster
    load = AcknowledgedLoad(endpoints(cluster), submitters=1, workers=1, pause_s=0.02)
    churn = Churn(cluster)
    load.start()
    churn.start()
    try:
        yield load, churn
    finally:
        await asyncio.gather(load.stop(), churn.stop())
    assert await losses(endpoints(cluster), load.memory) == []
    await equal_digests(cluster)
    for node_id in cluster.node_ids:
        text = cluster.log_path(node_id).read_text()
        assert "replica_failed" not in text, f"{node_id}: {text[-2_000:]}"
        assert "replica_states_differ" not in text, f"{node_id}: {text[-2_000:]}"


async def works(load: AcknowledgedLoad, churn: Churn) -> None:
    await asyncio.gather(acknowledged_more(load, 5, within_s=60), churn.goes_on())


async def raise_refused(cluster: LocalCluster, behind: str, old: Build) -> None:
    """While a member of the old build is there, and it says which."""
    async with Client(endpoints(cluster), name="operator") as client:
        with pytest.raises(
            FailedPreconditionError, match=rf"{behind} supports {old.level}"
        ) as raised:
            await client.cluster.raise_level()
    assert raised.value.reason == "MEMBERS_BEHIND"


async def raised(cluster: LocalCluster, old: Build) -> None:
    """As soon as all members are connected; not by itself before."""
    deadline = asyncio.get_running_loop().time() + 30
    async with Client(endpoints(cluster), name="operator") as client:
        assert (await client.cluster.level()).level == old.level
        while (await client.cluster.level()).level < HIGHEST_LEVEL:
            assert asyncio.get_running_loop().time() < deadline, "a member is not connected"
            with contextlib.suppress(FailedPreconditionError):
                await client.cluster.raise_level()
            await asyncio.sleep(0.05)


async def refused_again(nodes: MixedCluster, node_id: str, old: Build) -> None:
    """A node that is started with the old build after the level was raised says why it cannot take
    part: its snapshot, its log or its peers tell."""
    await asyncio.to_thread(nodes.cluster.stop, node_id)
    known = f"feature levels? (up to )?{old.level}"
    why = re.compile(f"state format 2|command kind|supports {known}|supports levels up to")
    with nodes.alone(node_id, old) as log:
        await eventually(lambda: why.search(log.read_text()), 60, f"an explanation in {log}")


@pytest.mark.timeout(300)
async def test_a_rolling_upgrade_loses_nothing(nodes: MixedCluster, old: Build) -> None:
    """On the way both builds lead, both follow, and a leader of each is killed."""
    async with under_load(nodes) as (load, churn):
        await asyncio.to_thread(nodes.change, "n1", NEW)
        await lead(nodes.cluster, "n1")
        await works(load, churn)
        await asyncio.to_thread(nodes.kill, "n1")  # the new one, which leads two old ones
        await asyncio.to_thread(nodes.change, "n2", NEW)
        await lead(nodes.cluster, "n2")
        await raise_refused(nodes.cluster, "n3", old)
        await lead(nodes.cluster, "n3")
        await works(load, churn)
        await asyncio.to_thread(nodes.kill, "n3")  # the old one, which leads two new ones
        await works(load, churn)
        await asyncio.to_thread(nodes.change, "n3", NEW)
        await works(load, churn)
        await raised(nodes.cluster, old)
        await works(load, churn)
    status = old.run("-m", "coord.cli", "--endpoints", endpoints(nodes.cluster), "status")
    assert all(node_id in status for node_id in nodes.cluster.node_ids), "an older client is served"
    await refused_again(nodes, "n1", old)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", range(3))
async def test_builds_come_and_go(nodes: MixedCluster, old: Build, seed: int) -> None:
    """An upgrade that is undone as well: until the level is raised the old build can come back."""
    choose = random.Random(seed)
    async with under_load(nodes) as (load, churn):
        for _ in range(20):
            node_id = choose.choice(nodes.cluster.node_ids)
            step = choose.choice((nodes.kill, nodes.change, nodes.change))
            arguments = () if step == nodes.kill else (choose.choice((old, NEW)),)
            await asyncio.to_thread(step, node_id, *arguments)
            await lead(nodes.cluster, choose.choice(nodes.cluster.node_ids))
            await works(load, churn)
