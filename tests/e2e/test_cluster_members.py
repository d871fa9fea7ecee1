"""A cluster in the background grows and shrinks: until none of its first nodes is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from coord.client import Client
from coord.localcluster import LocalCluster, free_base_port
from coord.localcluster.errors import LocalClusterError
from coord.localcluster.processes import ProcessState

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


async def test_every_node_is_replaced(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path / "c", nodes=1, base_port=free_base_port(5))
    await asyncio.to_thread(cluster.up)
    seen: set[int] = set()
    try:
        async with Client(cluster.endpoints, name="first") as client:
            await client.kv.put("kept", b"1")
        for expected in ("n2", "n3"):
            assert await asyncio.to_thread(cluster.add) == expected
        seen |= set(cluster.pids.values())
        await asyncio.to_thread(cluster.kill, "n2")
        await asyncio.to_thread(cluster.remove, "n2")  # a dead one
        assert await asyncio.to_thread(cluster.add) == "n4"
        await asyncio.to_thread(cluster.remove, "n1")  # the leader, most likely
        assert cluster.node_ids == ["n3", "n4"]
        assert await asyncio.to_thread(cluster.add) == "n5"
        await asyncio.to_thread(cluster.restart)
        assert all(node.state is ProcessState.RUNNING for node in cluster.status())
        async with Client(cluster.endpoints, name="last") as client:
            found = await client.kv.get("kept")
            assert found is not None
            assert found.value == b"1"
        with pytest.raises(LocalClusterError, match="no node 'n1'"):
            await asyncio.to_thread(cluster.remove, "n1")
        seen |= set(cluster.pids.values())
    finally:
        await asyncio.to_thread(cluster.down, wipe=True)
    assert not any(psutil.pid_exists(pid) for pid in seen)
    assert not (tmp_path / "c").exists()
