"""Clients that vanish in the middle of a call, and calls that ask for too much, against a cluster
of real nodes: directly at the leader, and through a follower."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from coord.client import Client, TaskSpec
from coord.client.transport.errors import CoordError, InvalidArgumentError
from coord.localcluster import LocalCluster
from coord.pb import common_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from tests.support.faults import (
    address_of,
    endpoints,
    equal_digests,
    leader_and_followers,
    running_cluster,
)
from tests.support.rpc import Stubs, refused

pytestmark = pytest.mark.integration
LEASE_MS = 1_000
LONG_TTL_MS = 60_000  # so that it is not the end of the session that helps

VICTIM = """
import sys, threading, grpc
from coord.pb import common_pb2, lock_pb2, lock_pb2_grpc
from coord.pb import session_pb2, session_pb2_grpc, task_pb2, task_pb2_grpc

address, what, name, ttl_ms, lease_ms = sys.argv[1:]
channel = grpc.insecure_channel(address)
opened = session_pb2_grpc.SessionsStub(channel).Open(
    session_pb2.OpenSessionRequest(ttl_ms=int(ttl_ms), nonce=name.encode(), kind="client"),
    timeout=20,
)
header = common_pb2.RequestHeader(session_id=opened.session_id)
if what == "lock":
    call = lock_pb2_grpc.LocksStub(channel).Acquire.future(
        lock_pb2.AcquireLockRequest(header=header, name=name, holder="victim", wait_ms=60_000)
    )
else:
    call = task_pb2_grpc.TasksStub(channel).Claim.future(
        task_pb2.ClaimRequest(
            header=header, queues=[name], max_tasks=1, lease_ttl_ms=int(lease_ms), wait_ms=60_000
        )
    )
print("waiting", flush=True)
print("got", len(getattr(call.result(), "tasks", ())), flush=True)
threading.Event().wait()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("clients") / "cluster") as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with Client(endpoints(cluster), session_ttl_ms=30_000, timeout_ms=20_000) as client:
        yield client


@pytest.fixture(params=["at the leader", "through a follower"])
def address(cluster: LocalCluster, request: pytest.FixtureRequest) -> str:
    leader, followers = leader_and_followers(cluster)
    return address_of(cluster, leader if request.param == "at the leader" else followers[0])


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@asynccontextmanager
async def victim(address: str, what: str, name: str) -> AsyncIterator[subprocess.Popen[str]]:
    """A process that waits for a lock or a task, killed at the end."""
    arguments = [sys.executable, "-c", VICTIM, address, what, name, str(LONG_TTL_MS), str(LEASE_MS)]
    with start(arguments) as process:
        try:
            await says(process, "waiting")
            yield process
        finally:
            process.kill()


async def says(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 30)
    assert line.strip() == words


async def waiters(client: Client, name: str) -> int:
    lock = await client.locks.get(name)
    return len(lock.waiters) if lock is not None else 0


async def until_waiters(client: Client, name: str, count: int, within_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + within_s
    while (found := await waiters(client, name)) != count:
        assert asyncio.get_running_loop().time() < deadline, f"{found} waiters, not {count}"
        await asyncio.sleep(0.05)


async def test_who_is_killed_while_waiting_for_a_lock_leaves_its_queue(
    client: Client, address: str
) -> None:
    name = f"lock {address}"
    held = await client.locks.acquire(name, holder="first")
    assert held is not None
    async with victim(address, "lock", name) as process:
        await until_waiters(client, name, 1, 20)
        process.kill()
        await until_waiters(client, name, 0, 5)
    second = asyncio.create_task(client.locks.acquire(name, holder="second", wait_ms=20_000))
    await until_waiters(client, name, 1, 20)
    await client.locks.release(held)
    grant = await asyncio.wait_for(second, 10)
    assert grant is not None
    assert grant.fencing_token > held.fencing_token
    await client.locks.release(grant)


async def test_who_is_killed_while_waiting_for_a_task_takes_none_along(
    client: Client, address: str
) -> None:
    name = f"queue {address}"
    async with victim(address, "task", name) as process:
        await asyncio.sleep(0.2)  # it may be on its way yet: either way the task must come back
        process.kill()
        begun = asyncio.get_running_loop().time()
        submitted = await client.tasks.submit(name, b"work")
        (task,) = await client.tasks.claim([name], wait_ms=15_000)
        took_s = asyncio.get_running_loop().time() - begun
    assert task.task_id == submitted.task_id
    assert took_s < LEASE_MS / 1_000 + 3
    await client.tasks.complete(task, b"done")


async def test_a_task_of_a_killed_worker_comes_back_when_its_lease_is_over(
    client: Client, address: str
) -> None:
    name = f"lease {address}"
    async with victim(address, "task", name) as process:
        submitted = await client.tasks.submit(name, b"work")
        await says(process, "got 1")
        process.kill()
        begun = asyncio.get_running_loop().time()
        (task,) = await client.tasks.claim([name], wait_ms=15_000)
        took_s = asyncio.get_running_loop().time() - begun
    assert (task.task_id, task.attempt) == (submitted.task_id, 2)
    assert took_s < LEASE_MS / 1_000 + 3
    await client.tasks.complete(task, b"done")


@asynccontextmanager
async def stubs_of(address: str) -> AsyncIterator[Stubs]:
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        await asyncio.wait_for(channel.channel_ready(), 20)
        yield Stubs(channel)


def submit(count: int, payload: bytes = b"") -> task_pb2.SubmitRequest:
    return task_pb2.SubmitRequest(
        header=common_pb2.RequestHeader(),
        tasks=[task_pb2.TaskSpec(queue="too much", payload=payload) for _ in range(count)],
    )


async def test_too_much_is_refused_with_its_bound(client: Client, address: str) -> None:
    asked: dict[str, tuple[Any, str, str]] = {
        "message": (submit(34, bytes(250_000)), "MESSAGE_TOO_LARGE", "8388608"),
        "payload": (submit(1, bytes(1_048_577)), "TOO_LARGE", "1048576"),
        "batch": (submit(1_001), "", "1000"),
    }
    async with stubs_of(address) as stubs:
        for what, (request, reason, bound) in asked.items():
            code, found, metadata, message = await refused(stubs.tasks.Submit(request, timeout=20))
            assert code is grpc.StatusCode.INVALID_ARGUMENT, (what, code, message)
            assert found == reason or not reason, (what, found)
            assert metadata["definite"] == "true"
            assert bound in message.replace(",", ""), (what, message)
        value = etcd.PutRequest(key=b"large", value=bytes(1_048_577))
        code, _, _, message = await refused(stubs.kv.Put(value, timeout=20))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert message.startswith("etcdserver: request is too large")
    assert await client.queues.list() is not None
    assert [one for one in await client.queues.list() if one.queue == "too much"] == []


async def test_far_too_much_is_refused_without_harm(client: Client, address: str) -> None:
    async with stubs_of(address) as stubs:
        code, _, _, message = await refused(stubs.tasks.Submit(submit(40, bytes(1_000_000))))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in message
        assert (await stubs.kv.Range(etcd.RangeRequest(key=b"large"), timeout=20)).count == 0


async def test_the_client_says_what_is_too_much_and_splits_what_it_can(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="1048576"):
        await client.tasks.submit("too much", bytes(1_048_577))
    done = await client.tasks.submit_many([TaskSpec(queue="many", payload=b"x")] * 2_500)
    assert len({task.task_id for task in done}) == 2_500


async def test_a_deadline_that_cannot_be_met_ends_the_call_in_time(
    cluster: LocalCluster, client: Client, address: str
) -> None:
    """While the others stand still nothing is committed, and there is no time for an election."""
    leader, followers = leader_and_followers(cluster)
    others = followers if address == address_of(cluster, leader) else [leader]
    async with stubs_of(address) as stubs:
        await stubs.kv.Range(etcd.RangeRequest(key=b"late"), timeout=20)
        for node in others:
            cluster.pause(node)
        try:
            put = stubs.kv.Put(etcd.PutRequest(key=b"late", value=b"x"), timeout=0.2)
            code, _, _, _ = await refused(put)
        finally:
            for node in others:
                cluster.resume(node)
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(CoordError) as ended:
        await client.kv.put("soon", b"x" * 1_000_000, timeout_ms=1)
    assert ended.value.reason in {"DEADLINE", "DEADLINE_EXCEEDED", "UNREACHABLE"}, ended.value
    assert loop.time() - begun < 1
    await client.kv.put("in time", b"x")
    await equal_digests(cluster)
