"""Data directories that are removed, put back or cut off while or between nodes run: the node says
what it is about and what to do, and the rest of the cluster goes on."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from coord.client import Client
from coord.localcluster import LocalCluster
from coord.localcluster.launch import node_command, node_environment
from coord.node.node import EXIT_FATAL
from tests.support.faults import (
    config_of,
    endpoints,
    equal_digests,
    leader_and_followers,
    running_cluster,
    serve_refused,
    used,
    wait_for_log,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("directory") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: LocalCluster) -> LocalCluster:
    """All nodes are up."""
    shared.start()
    return shared


async def write_some(cluster: LocalCluster, mark: str) -> None:
    async with Client(endpoints(cluster)) as client:
        for number in range(10):
            await client.kv.put(f"{mark}/{number}", b"x" * 200)


def cut_off(segment: Path, count: int) -> bytes:
    """Lose the last bytes of what is written; what was there before."""
    whole = segment.read_bytes()
    segment.write_bytes(used(segment)[:-count])
    return whole


async def follower(cluster: LocalCluster) -> str:
    _, (victim, _) = await asyncio.to_thread(leader_and_followers, cluster)
    return victim


async def test_a_leader_whose_directory_is_removed_stops_and_another_takes_over(
    cluster: LocalCluster,
) -> None:
    await write_some(cluster, "before")
    victim, _ = await asyncio.to_thread(leader_and_followers, cluster)
    shutil.rmtree(cluster.data_directory(victim))
    line = await asyncio.to_thread(
        wait_for_log, cluster.log_path(victim), "node.fatal", "DataDirectoryLostError", within_s=8
    )
    assert "it was removed, moved or replaced while this node was running" in line
    await write_some(cluster, "the other two go on")
    await asyncio.to_thread(cluster.start, victim)
    await equal_digests(cluster)


async def test_a_node_started_from_an_older_copy_ends_with_an_explanation(
    cluster: LocalCluster,
) -> None:
    victim = await follower(cluster)
    directory = cluster.data_directory(victim)
    await asyncio.to_thread(cluster.kill, victim)
    shutil.copytree(directory, directory.with_name("copy"))
    await asyncio.to_thread(cluster.start, victim)
    await write_some(cluster, "after the copy")
    await equal_digests(cluster)
    await asyncio.to_thread(cluster.kill, victim)
    shutil.rmtree(directory)
    directory.with_name("copy").rename(directory)
    # Counted as often as the directory that was lost, so that only the run's id tells them apart.
    ended = await asyncio.to_thread(
        subprocess.run,
        node_command(config_of(cluster, victim)),
        env=node_environment({}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == EXIT_FATAL, ended.stdout + ended.stderr
    assert "two copies of its data directory were started" in ended.stdout + ended.stderr
    assert "What to do: " in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    leader, _ = await asyncio.to_thread(leader_and_followers, cluster)
    await asyncio.to_thread(
        wait_for_log, cluster.log_path(leader), "peer_refused", "CLONE", f"node '{victim}'"
    )
    line = await asyncio.to_thread(serve_refused, config_of(cluster, victim))
    assert f"remove {directory}/copied" in line, "nor does it start again by itself"
    directory.rename(directory.with_name("older copy"))
    await asyncio.to_thread(cluster.start, victim)
    await equal_digests(cluster)


async def test_a_journal_cut_off_after_a_stop_in_order_is_told(
    cluster: LocalCluster,
) -> None:
    await write_some(cluster, "before the cut")
    victim = await follower(cluster)
    await asyncio.to_thread(cluster.stop, victim)
    journal = cluster.data_directory(victim) / "journal"
    segment = max(journal.glob("*.wal"))
    whole = cut_off(segment, 40)
    line = await asyncio.to_thread(serve_refused, config_of(cluster, victim))
    assert f"node {victim} cannot start: storage is damaged: {segment}" in line
    assert "this node was stopped in order" in line
    assert "its end was cut off" in line
    assert "What to do: " in line
    await asyncio.to_thread(segment.write_bytes, whole)
    await asyncio.to_thread(cluster.start, victim)
    await equal_digests(cluster)
