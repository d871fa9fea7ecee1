"""Three real nodes in this process: durable logs, elections, forwarding, hand-over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from coord.node.config import ServerConfig, load_config
from coord.node.node import Node
from coord.pb import cluster_pb2, common_pb2, lock_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from tests.support.rpc import Stubs, free_port, refused
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(60)
IDS = ("n1", "n2", "n3")


class Cluster:
    """Nodes by id; a node that is not running is not in `nodes`."""

    def __init__(self, folder: Path) -> None:
        self.members = ";".join(
            f"{one}=127.0.0.1:{free_port()},127.0.0.1:{free_port()}" for one in IDS
        )
        self.folder = folder
        self.nodes: dict[str, Node] = {}
        self.stubs: dict[str, Stubs] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}

    def config(self, node_id: str) -> ServerConfig:
        return load_config(
            {
                "node_id": node_id,
                "members": self.members,
                "data_dir": str(self.folder / node_id),
                "shutdown_grace_ms": 500,
                "hold_back_ms": 20,
            }
        )

    async def start(self, node_id: str) -> None:
        config = self.config(node_id)
        node = Node(config)
        await node.start()
        self.nodes[node_id] = node
        channel = grpc.aio.insecure_channel(
            config.listen, options=[("grpc.initial_reconnect_backoff_ms", 50)]
        )
        self._channels[node_id], self.stubs[node_id] = channel, Stubs(channel)

    async def stop(self, node_id: str) -> None:
        await self._channels.pop(node_id).close()
        self.stubs.pop(node_id)
        await self.nodes.pop(node_id).stop()

    async def stop_all(self) -> None:
        for node_id in list(self.nodes):
            await self.stop(node_id)

    def leader(self) -> str:
        """Whom every running node takes for the leader; empty if they do not agree."""
        seen = {node.server.leadership.leader_id for node in self.nodes.values()}
        return next(iter(seen)) or "" if len(seen) == 1 else ""

    async def wait_for_leader(self) -> str:
        await eventually(lambda: bool(self.leader()), 20)
        return self.leader()

    def followers(self) -> list[str]:
        return [one for one in self.nodes if one != self.leader()]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(made.stop_all)
        for node_id in IDS:
            await made.start(node_id)
        await made.wait_for_leader()
        yield made


async def put(stubs: Stubs, key: bytes, value: bytes) -> int:
    answer = await stubs.kv.Put(etcd.PutRequest(key=key, value=value), timeout=10)
    return int(answer.header.revision)


async def get(stubs: Stubs, key: bytes, **more: Any) -> bytes | None:
    answer = await stubs.kv.Range(etcd.RangeRequest(key=key, **more), timeout=10)
    return answer.kvs[0].value if answer.kvs else None


async def test_any_node_takes_any_call(cluster: Cluster) -> None:
    for number, stubs in enumerate(cluster.stubs.values()):
        await put(stubs, b"k", b"%d" % number)
        for other in cluster.stubs.values():
            assert await get(other, b"k") == b"%d" % number


async def test_status_and_equal_digests(cluster: Cluster) -> None:
    for number in range(20):
        await put(cluster.stubs["n1"], b"%d" % number, b"v")
    for stubs in cluster.stubs.values():
        status = await stubs.cluster.Status(cluster_pb2.StatusRequest())
        assert status.leader == cluster.leader()
        assert sorted(one.role for one in status.members) == ["follower", "follower", "leader"]
        assert all(one.reachable for one in status.members)
    index = max(node.server.replicator.status().applied_index for node in cluster.nodes.values())
    request = cluster_pb2.NodeDigestRequest(min_applied_index=index, wait_ms=10_000)
    digests = [await stubs.cluster.NodeDigest(request) for stubs in cluster.stubs.values()]
    assert len({(one.applied_index, one.digest) for one in digests}) == 1


async def test_a_node_that_comes_back_elsewhere_is_told_of_in_status(cluster: Cluster) -> None:
    moved = cluster.followers()[0]
    parts = [one for one in cluster.members.split(";") if not one.startswith(moved)]
    await cluster.stop(moved)
    elsewhere = f"{moved}=127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    cluster.members = ";".join([*parts, elsewhere])
    await cluster.start(moved)
    stubs = next(one for node_id, one in cluster.stubs.items() if node_id != moved)
    notes: list[str] = []
    async with asyncio.timeout(20):
        while not notes:
            status = await stubs.cluster.Status(cluster_pb2.StatusRequest())
            notes = [f"{one.id}: {one.note}" for one in status.members if one.note]
    assert notes[0].startswith(f"{moved}: it runs, but does not answer at ")


async def test_leadership_can_be_handed_over(cluster: Cluster) -> None:
    target = cluster.followers()[0]
    asked = cluster.followers()[1]
    answer = await cluster.stubs[asked].cluster.TransferLeader(
        cluster_pb2.TransferLeaderRequest(target=target), timeout=10
    )
    assert answer.leader == target
    await eventually(lambda: cluster.leader() == target)
    await put(cluster.stubs[asked], b"k", b"v")


async def test_writes_go_on_while_leadership_is_handed_over(cluster: Cluster) -> None:
    follower = cluster.followers()[0]
    stopping = asyncio.Event()
    done = 0

    async def write() -> None:
        nonlocal done
        while not stopping.is_set():
            await put(cluster.stubs[follower], b"k", b"%d" % done)
            done += 1

    writing = asyncio.create_task(write())
    await eventually(lambda: done > 5)
    await cluster.stubs[follower].cluster.TransferLeader(
        cluster_pb2.TransferLeaderRequest(), timeout=10
    )
    before = done
    await eventually(lambda: done > before + 5 or writing.done(), 10)
    stopping.set()
    await writing


async def test_a_stopped_leader_hands_over_and_comes_back(cluster: Cluster) -> None:
    old = cluster.leader()
    follower = cluster.followers()[0]
    await put(cluster.stubs[follower], b"k", b"1")
    await cluster.stop(old)
    assert await cluster.wait_for_leader() != old
    await put(cluster.stubs[follower], b"k", b"2")
    assert await get(cluster.stubs[follower], b"k") == b"2"
    await cluster.start(old)
    await eventually(lambda: cluster.leader() != "", 20)
    assert await get(cluster.stubs[old], b"k") == b"2"


async def test_everything_is_there_after_a_restart_of_all(cluster: Cluster) -> None:
    stubs = cluster.stubs["n1"]
    session_id = await stubs.open_session(ttl_ms=60_000)
    submitted = await stubs.tasks.Submit(
        task_pb2.SubmitRequest(tasks=[task_pb2.TaskSpec(queue="q", payload=b"x")])
    )
    lock = await stubs.locks.Acquire(
        lock_pb2.AcquireLockRequest(
            header=common_pb2.RequestHeader(session_id=session_id), name="l", holder="h"
        )
    )
    await put(stubs, b"k", b"v")
    await cluster.stop_all()
    for node_id in IDS:
        await cluster.start(node_id)
    await cluster.wait_for_leader()
    stubs = cluster.stubs["n2"]
    assert await get(stubs, b"k") == b"v"
    held = (await stubs.locks.Get(lock_pb2.GetLockRequest(name="l"))).lock
    assert (held.session_id, held.fencing_token) == (session_id, lock.fencing_token)
    task_id = submitted.tasks[0].task_id
    task = (await stubs.tasks.Get(task_pb2.GetTaskRequest(task_id=task_id))).task
    assert task.spec.payload == b"x"


async def test_without_a_majority_nothing_is_promised(cluster: Cluster) -> None:
    await put(cluster.stubs["n1"], b"k", b"1")
    survivor = cluster.followers()[0]
    digest = cluster.nodes[cluster.leader()].server.state_machine.machine.digest()
    await eventually(
        lambda: cluster.nodes[survivor].server.state_machine.machine.digest() == digest
    )
    for node_id in [one for one in IDS if one != survivor]:
        await cluster.stop(node_id)
    node = cluster.nodes[survivor]
    await eventually(lambda: node.server.leadership.leader_id is None, 20)
    code, reason, metadata, _ = await refused(put(cluster.stubs[survivor], b"k", b"2"))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NO_LEADER")
    assert metadata["definite"] == "true"
    assert await get(cluster.stubs[survivor], b"k", serializable=True) == b"1"
    status = await cluster.stubs[survivor].cluster.Status(cluster_pb2.StatusRequest())
    assert [one.reachable for one in status.members].count(True) == 1


async def test_a_long_poll_through_a_follower_survives_a_hand_over(cluster: Cluster) -> None:
    old = cluster.leader()
    target, asked = cluster.followers()
    session_id = await cluster.stubs[asked].open_session(ttl_ms=60_000)
    request = task_pb2.ClaimRequest(
        header=common_pb2.RequestHeader(session_id=session_id, sequence=1),
        queues=["q"],
        max_tasks=1,
        lease_ttl_ms=10_000,
        wait_ms=30_000,
    )
    claiming = asyncio.ensure_future(cluster.stubs[asked].tasks.Claim(request, timeout=40))
    await eventually(_parked(cluster, old))
    await cluster.stubs[asked].cluster.TransferLeader(
        cluster_pb2.TransferLeaderRequest(target=target), timeout=10
    )
    await eventually(_parked(cluster, target), 10)
    submit = task_pb2.SubmitRequest(tasks=[task_pb2.TaskSpec(queue="q", payload=b"x")])
    await cluster.stubs[old].tasks.Submit(submit, timeout=10)
    assert [one.payload for one in (await claiming).tasks] == [b"x"]


def _parked(cluster: Cluster, node_id: str) -> Callable[[], bool]:
    return lambda: cluster.nodes[node_id].server.claim_queue.parked == 1
