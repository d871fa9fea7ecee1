"""A leader that is asked to go, and one that was stopped without knowing it, under real load."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio
import pytest

from coord.client import Client
from coord.localcluster import LocalCluster
from coord.pb import etcd_rpc_pb2 as etcd
from tests.support.acknowledged_load import AcknowledgedLoad, losses
from tests.support.faults import (
    acknowledged_more,
    address_of,
    endpoints,
    equal_digests,
    leader_and_followers,
    running_cluster,
    wait_for_log,
)
from tests.support.rpc import Stubs
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
STOPPED_ROUNDS = 2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("leader") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: LocalCluster) -> LocalCluster:
    """All nodes are up."""
    shared.start()
    return shared


def terminate(pid: int) -> int:
    """SIGTERM to a child of this process; its exit code."""
    os.kill(pid, signal.SIGTERM)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


async def test_a_leader_that_is_asked_to_go_hands_over_first(cluster: LocalCluster) -> None:
    load = AcknowledgedLoad(endpoints(cluster), submitters=1, workers=1)
    load.start()
    loop = asyncio.get_running_loop()
    await acknowledged_more(load, 10)
    leader, followers = await asyncio.to_thread(leader_and_followers, cluster)
    since = loop.time()
    code = await asyncio.wait_for(asyncio.to_thread(terminate, cluster.pids[leader]), timeout=20)
    await acknowledged_more(load, 10)
    gap_ms = load.longest_gap_ms(since, loop.time())
    await load.stop()
    assert code == 0
    line = wait_for_log(cluster.log_path(leader), "node.leadership_handed_over")
    assert any(f"to={node_id}" in line for node_id in followers), line
    assert await losses(endpoints(cluster), load.memory) == []
    await asyncio.to_thread(cluster.start, leader)
    await equal_digests(cluster)
    assert gap_ms < 1_000, f"no writes for {gap_ms} ms"


@asynccontextmanager
async def talking_to(address: str) -> AsyncIterator[Stubs]:
    """This node and no other; the connection stands."""
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 10)
        yield Stubs(channel)


async def outcome(call: object) -> object:
    """The answer, or the error it ended with."""
    try:
        return await call  # type: ignore[misc]
    except grpc.aio.AioRpcError as error:
        return error


def swap(key: bytes, seen_revision: int, value: bytes) -> etcd.TxnRequest:
    """Write if nobody has written since `seen_revision`."""
    compare = etcd.Compare(
        key=key, target=etcd.Compare.MOD, result=etcd.Compare.EQUAL, mod_revision=seen_revision
    )
    put = etcd.RequestOp(request_put=etcd.PutRequest(key=key, value=value))
    return etcd.TxnRequest(compare=[compare], success=[put])


@pytest.mark.timeout(90)
async def test_a_leader_that_was_stopped_serves_nothing_stale(cluster: LocalCluster) -> None:
    for number in range(STOPPED_ROUNDS):
        await stop_and_wake_the_leader(cluster, b"round %d" % number)
    await equal_digests(cluster)


async def stop_and_wake_the_leader(cluster: LocalCluster, key: bytes) -> None:
    old, others = await asyncio.to_thread(leader_and_followers, cluster)
    async with AsyncExitStack() as stack:
        deposed = await stack.enter_async_context(talking_to(address_of(cluster, old)))
        rest = ",".join(address_of(cluster, node_id) for node_id in others)
        client = await stack.enter_async_context(Client(rest, timeout_ms=15_000))
        seen = await client.kv.put(key, b"old")
        await asyncio.to_thread(cluster.pause, old)
        try:
            newer = await client.kv.put(key, b"new")  # acknowledged by another leader
            # These wait in the sockets of the old leader, which does not know that it is deposed.
            reads = [deposed.kv.Range(etcd.RangeRequest(key=key), timeout=8) for _ in range(10)]
            swaps = [deposed.kv.Txn(swap(key, seen, b"stale"), timeout=8) for _ in range(10)]
            waiting = asyncio.gather(*(outcome(call) for call in (*reads, *swaps)))
            await asyncio.sleep(0.05)  # on their way
        finally:
            await asyncio.to_thread(cluster.resume, old)
        answers = await waiting
        values = [one.kvs[0].value for one in answers[:10] if hasattr(one, "kvs")]
        assert values, f"no read was answered: {answers[0]}"
        assert set(values) == {b"new"}, "a deposed leader served a stale read"
        swapped = [one for one in answers[10:] if getattr(one, "succeeded", False)]
        assert swapped == [], "a stale write was acknowledged"
        found = await client.kv.get(key)
        assert found is not None
        assert (found.value, found.mod_revision) == (b"new", newer)
        await eventually(
            lambda: {one.leader for one in cluster.status()} <= set(others),
            10,
            "it has stepped down",
        )
