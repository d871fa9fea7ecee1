"""Stale reads of real nodes: cut off, and stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import grpc
import grpc.aio
import pytest

from coord.client import Client, Stale, TooStaleError
from coord.localcluster import LocalCluster
from coord.pb import etcd_rpc_pb2 as etcd
from tests.support.faults import (
    address_of,
    endpoints,
    equal_digests,
    leader_and_followers,
    running_cluster,
)
from tests.support.rpc import Stubs, refused

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
USUAL_AGE_MS = 1_000  # far above what is usual, on a busy machine
PAUSE_S = 1.5


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("stale") / "cluster") as cluster:
        yield cluster


async def read(address: str, key: str, max_ms: int | None = None) -> tuple[bytes, Stale]:
    """From this node alone; without looking at any other."""
    stale = Stale(max_ms)
    async with Client([address], name="stale", timeout_ms=10_000) as client:
        found = await client.kv.get(key, stale=stale)
    return b"" if found is None else found.value, stale


async def fresh_read(address: str, key: str) -> bytes:
    """As soon as the node is up to date again, and has the key: what is a few milliseconds old may
    lack it."""
    deadline = time.monotonic() + 20
    while True:
        try:
            value, stale = await read(address, key, max_ms=USUAL_AGE_MS)
        except TooStaleError:
            value = b""
        else:
            assert stale.age_ms is not None
            assert stale.age_ms <= USUAL_AGE_MS
        if value:
            return value
        assert time.monotonic() < deadline, "it does not catch up"
        await asyncio.sleep(0.05)


async def put(cluster: LocalCluster, key: str, value: str) -> None:
    async with Client(endpoints(cluster), name="writer", timeout_ms=10_000) as client:
        await client.kv.put(key, value)


async def test_a_node_that_is_cut_off_answers_and_its_answers_age(cluster: LocalCluster) -> None:
    await put(cluster, "a", "1")
    leader, (alone, other) = await asyncio.to_thread(leader_and_followers, cluster)
    address = address_of(cluster, alone)
    await fresh_read(address, "a")
    for node_id in (leader, other):
        await asyncio.to_thread(cluster.pause, node_id)
    cut_off_at = time.monotonic()
    try:
        first, young = await read(address, "a")
        await asyncio.sleep(PAUSE_S)
        second, old = await read(address, "a")
        assert (first, second) == (b"1", b"1")
        assert young.age_ms is not None
        assert old.age_ms is not None
        assert old.age_ms >= (time.monotonic() - cut_off_at) * 1000 - USUAL_AGE_MS
        assert old.age_ms >= young.age_ms + PAUSE_S * 1000 - 1
        assert old.applied_index >= young.applied_index
        with pytest.raises(TooStaleError):
            await read(address, "a", max_ms=int(PAUSE_S * 1000) - 1)
        async with grpc.aio.insecure_channel(address) as channel:
            call = Stubs(channel).kv.Range(etcd.RangeRequest(key=b"a"), timeout=20)
            code, reason, metadata, _ = await refused(call)
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NO_LEADER")
        assert metadata["definite"] == "true"
    finally:
        for node_id in (leader, other):
            await asyncio.to_thread(cluster.resume, node_id)
    await put(cluster, "a", "2")
    assert await fresh_read(address, "a") in (b"1", b"2")
    await equal_digests(cluster)


async def test_a_node_that_was_stopped_is_as_old_as_its_pause(cluster: LocalCluster) -> None:
    """The others stand still when it wakes up: all it can read is what lay in its sockets."""
    await put(cluster, "b", "1")
    leader, (sleeper, other) = await asyncio.to_thread(leader_and_followers, cluster)
    address = address_of(cluster, sleeper)
    await fresh_read(address, "b")
    await asyncio.to_thread(cluster.pause, sleeper)
    asleep_at = time.monotonic()
    await put(cluster, "b", "2")
    await asyncio.sleep(PAUSE_S)
    for node_id in (leader, other):
        await asyncio.to_thread(cluster.pause, node_id)
    try:
        slept_s = time.monotonic() - asleep_at
        await asyncio.to_thread(cluster.resume, sleeper)
        for _ in range(5):
            _, stale = await read(address, "b")
            assert stale.age_ms is not None
            assert stale.age_ms >= slept_s * 1000
    finally:
        for node_id in (leader, other):
            await asyncio.to_thread(cluster.resume, node_id)
    await put(cluster, "b", "3")
    await equal_digests(cluster)
