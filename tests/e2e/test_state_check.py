"""A node of a real cluster whose state was changed behind its back, checksums and all."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from coord.client import Client
from coord.codec.snapshot import SnapshotEncoder, decode_snapshot
from coord.core.machine import Machine
from coord.journal import OsFileSystem, SnapshotStore
from coord.localcluster import LocalCluster
from coord.localcluster.launch import node_command, node_environment
from coord.node.node import EXIT_FATAL
from tests.support.faults import (
    config_of,
    endpoints,
    equal_digests,
    leader_and_followers,
    running_cluster,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    settings = {"state_check_interval_ms": 200, "snapshot_entries": 100, "keep_entries": 10}
    with running_cluster(tmp_path / "cluster", **settings) as cluster:
        yield cluster


def falsify(data_directory: Path) -> bool:
    """Write the latest snapshot again with one more revision; False: there is none yet."""
    store = SnapshotStore(OsFileSystem(), str(data_directory / "snapshots"))
    meta = store.latest()
    if meta is None:
        return False
    machine = Machine.from_rows(decode_snapshot(store.read_chunks(meta)))
    machine.state.ctx.next_revision()
    encoder = SnapshotEncoder(machine.freeze())
    writer = store.begin(meta)
    while (chunk := encoder.next_chunk()) is not None:
        writer.write(chunk)
    writer.commit()
    return True


def serve(config: Path) -> subprocess.CompletedProcess[str]:
    """Run a node that is to end by itself."""
    return subprocess.run(
        node_command(config),
        env=node_environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )


def checked_indexes(cluster: LocalCluster) -> dict[str, int]:
    async def ask() -> dict[str, int]:
        async with Client(endpoints(cluster), name="status") as client:
            members = (await client.cluster.status()).members
        return {member.id: member.checked_index for member in members}

    return asyncio.run(ask())


@pytest.mark.timeout(120)
async def test_a_falsified_node_ends_with_70_and_rejoins_without_its_data(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    async with Client(endpoints(cluster), name="load", timeout_ms=10_000) as client:
        for number in range(250):
            await client.kv.put(f"key/{number}", b"value")
        _, (hurt, other) = await asyncio.to_thread(leader_and_followers, cluster)
        data = cluster.data_directory(hurt)
        await eventually(lambda: list((data / "snapshots").glob("*.snapshot")), what="a snapshot")
        await asyncio.to_thread(cluster.kill, hurt)
        assert falsify(data)

        ended = await asyncio.to_thread(serve, config_of(cluster, hurt))
        assert ended.returncode == EXIT_FATAL, ended.stdout
        told = next(line for line in ended.stdout.splitlines() if "node.fatal" in line)
        for words in ("DivergenceError", "is not that of the majority", "rejoins by itself"):
            assert words in told

        await client.kv.put("after", b"1")
        data.rename(tmp_path / "kept-for-analysis")
        await asyncio.to_thread(cluster.start, hurt)
        await client.kv.put("at the end", b"1")
        await equal_digests(cluster)
        reached = (await client.cluster.status()).members
        index = max(member.applied_index for member in reached)
        deadline = asyncio.get_running_loop().time() + 20
        while min((await asyncio.to_thread(checked_indexes, cluster)).values()) < index:
            assert asyncio.get_running_loop().time() < deadline, "not compared again"
            await client.kv.put("more", b"1")
            await asyncio.sleep(0.1)
        assert other in (await asyncio.to_thread(lambda: cluster.pids))
    shutil.rmtree(tmp_path / "kept-for-analysis")
