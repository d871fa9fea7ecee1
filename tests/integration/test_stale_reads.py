"""Reads that need not be the newest: who serves them, what they say of their age, who refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from coord.client import Client, NoLeaderError, Stale, TooStaleError
from coord.client.sync import client as sync
from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import lock_pb2, session_pb2, task_pb2
from tests.support.rpc import FollowerReplicator, LocalNode, free_port, local_node, refused

pytestmark = pytest.mark.timeout(60)

READS: dict[str, Callable[[Any, Any], Any]] = {
    "kv": lambda s, m: s.kv.Range(etcd.RangeRequest(key=b"k"), metadata=m),
    "serializable": lambda s, m: s.kv.Range(
        etcd.RangeRequest(key=b"k", serializable=True), metadata=m
    ),
    "tasks": lambda s, m: s.tasks.List(task_pb2.ListTasksRequest(limit=10), metadata=m),
    "queues": lambda s, m: s.tasks.ListQueues(task_pb2.ListQueuesRequest(), metadata=m),
    "lock": lambda s, m: s.locks.Get(lock_pb2.GetLockRequest(name="l"), metadata=m),
    "locks": lambda s, m: s.locks.List(lock_pb2.ListLocksRequest(limit=10), metadata=m),
    "sessions": lambda s, m: s.sessions.List(session_pb2.ListSessionsRequest(limit=10), metadata=m),
}


@asynccontextmanager
async def follower(
    age_ms: int | None, node_id: str = "n2", **settings: Any
) -> AsyncIterator[LocalNode]:
    """A node that knows no leader; its state is so old."""
    async with local_node(node_id=node_id, follower=True, leader_wait_ms=0, **settings) as node:
        assert isinstance(node.replicator, FollowerReplicator)
        node.replicator.age = age_ms
        node.replicator.follow(None)
        yield node


def asking(max_stale_ms: int | str) -> tuple[tuple[str, str], ...]:
    return (("coord-max-stale-ms", str(max_stale_ms)),)


async def told(call: Any) -> dict[str, str]:
    """What came beside the answer."""
    await call
    return dict(await call.trailing_metadata())


@pytest.mark.parametrize("name", READS)
async def test_a_node_without_a_leader_serves_them_and_says_how_old_they_are(name: str) -> None:
    read = READS[name]
    async with follower(age_ms=700) as node:
        for limit in ("any", 700):
            beside = await told(read(node.stubs, asking(limit)))
            assert (beside["coord-age-ms"], beside["coord-applied-index"]) == ("700", "1")
        code, reason, metadata, message = await refused(read(node.stubs, asking(699)))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "TOO_STALE")
        assert (metadata["age_ms"], metadata["max_stale_ms"]) == ("700", "699")
        assert metadata["definite"] == "true"
        assert "up to 700 ms old" in message
        if name == "serializable":
            assert (await told(read(node.stubs, ())))["coord-age-ms"] == "700"
        else:
            assert (await refused(read(node.stubs, ())))[1] == "NO_LEADER"


async def test_an_unknown_age_is_within_no_limit() -> None:
    async with follower(age_ms=None) as node:
        beside = await told(READS["kv"](node.stubs, asking("any")))
        assert beside["coord-age-ms"] == "unknown"
        _, reason, metadata, _ = await refused(READS["kv"](node.stubs, asking(10**12)))
        assert (reason, metadata["age_ms"]) == ("TOO_STALE", "unknown")


@pytest.mark.parametrize("limit", ["-1", "1.5", "", "soon", "9" * 19])
async def test_a_limit_that_is_no_number_is_refused(limit: str) -> None:
    async with follower(age_ms=0) as node:
        code, reason, metadata, _ = await refused(READS["kv"](node.stubs, asking(limit)))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert metadata["field"] == "coord-max-stale-ms"


async def test_a_write_is_never_served_by_a_follower() -> None:
    async with follower(age_ms=0) as node:
        call = node.stubs.kv.Put(etcd.PutRequest(key=b"k", value=b"v"), metadata=asking("any"))
        assert (await refused(call))[1] == "NO_LEADER"


async def test_the_client_takes_the_first_endpoint_that_is_fresh_enough() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(follower(900, "n2"))
        fresh = await stack.enter_async_context(follower(20, "n3"))
        addresses = (nobody, old.address, fresh.address)
        client = await stack.enter_async_context(Client(addresses, timeout_ms=3_000))
        stale = Stale()
        assert await client.kv.get("k", stale=stale) is None
        assert (stale.age_ms, stale.applied_index) == (900, 1)
        stale = Stale(max_ms=100)
        assert await client.tasks.list(stale=stale) == []
        assert stale.age_ms == 20
        assert await client.queues.list(stale=stale) == []
        assert await client.locks.get("l", stale=stale) is None
        assert await client.locks.list(stale=stale) == []
        assert await client.sessions.list(stale=stale) == []
        with pytest.raises(TooStaleError) as caught:
            await client.kv.get_prefix("k", stale=Stale(max_ms=10))
        assert caught.value.definite
        assert caught.value.retryable
        assert caught.value.metadata["max_stale_ms"] == "10"
        with pytest.raises(NoLeaderError):
            await client.kv.get("k", timeout_ms=300)


async def test_pages_of_a_list_are_as_old_as_the_oldest() -> None:
    stale = Stale()
    stale.begin()
    stale.note((("coord-age-ms", "70"), ("coord-applied-index", "8")))
    stale.note((("coord-age-ms", "50"), ("coord-applied-index", "9")))
    assert (stale.age_ms, stale.applied_index) == (70, 8)
    stale.note((("coord-age-ms", "unknown"), ("coord-applied-index", "9")))
    assert stale.age_ms is None
    stale.note((("coord-age-ms", "50"), ("coord-applied-index", "9")))
    assert stale.age_ms is None
    stale.begin()
    stale.note((("coord-age-ms", "50"), ("coord-applied-index", "9")))
    assert (stale.age_ms, stale.applied_index) == (50, 9)


async def test_a_leader_answers_without_asking_anybody_too() -> None:
    async with local_node() as node:
        beside = await told(READS["kv"](node.stubs, asking(0)))
        assert beside["coord-age-ms"] == "0"


async def test_the_blocking_client_reads_so_too() -> None:
    def read(address: str) -> int | None:
        stale = Stale()
        with sync.Client(address) as client:
            assert client.tasks.list(stale=stale) == []
        return stale.age_ms

    async with follower(age_ms=33) as node:
        assert await asyncio.to_thread(read, node.address) == 33
