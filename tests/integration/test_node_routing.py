"""Who serves a call: forwarding, changes of leadership, health, reflection."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from coord.pb import cluster_pb2, common_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.replication.port import Member, Role
from tests.support.rpc import FollowerReplicator, LocalNode, local_node, refused
from tests.support.waiting import eventually

FORWARDED = (("coord-forwarded", "1"),)


def follow(follower: LocalNode, leader: LocalNode | None) -> None:
    replicator = follower.replicator
    assert isinstance(replicator, FollowerReplicator)
    replicator.follow(leader and Member("n1", "", leader.address))


async def test_a_follower_forwards() -> None:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        follow(follower, leader)
        session_id = await follower.stubs.open_session()
        metadata = (("coord-session", str(session_id)), ("coord-sequence", "1"))
        request = etcd.PutRequest(key=b"a", value=b"1")
        first = await follower.stubs.kv.Put(request, metadata=metadata)
        again = await leader.stubs.kv.Put(request, metadata=metadata)
        assert first.header.revision == again.header.revision  # the metadata came along
        got = await follower.stubs.kv.Range(etcd.RangeRequest(key=b"a"))
        assert got.kvs[0].value == b"1"
        local = etcd.RangeRequest(key=b"a", serializable=True)
        assert (await follower.stubs.kv.Range(local)).count == 0
        code, reason, metadata_of_error, _ = await refused(
            follower.stubs.tasks.Get(task_pb2.GetTaskRequest(task_id="t99"))
        )
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
        assert metadata_of_error["task_id"] == "t99"


async def test_a_forwarded_call_is_not_forwarded_again() -> None:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        follow(follower, leader)
        call = follower.stubs.kv.Range(etcd.RangeRequest(key=b"a"), metadata=FORWARDED)
        code, reason, metadata, _ = await refused(call)
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_LEADER")
        assert (metadata["leader"], metadata["leader_address"]) == ("n1", leader.address)
        assert metadata["definite"] == "true"


async def test_a_call_waits_for_a_leader() -> None:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        follow(follower, None)
        call = asyncio.ensure_future(follower.stubs.kv.Range(etcd.RangeRequest(key=b"a")))
        await asyncio.sleep(0.05)
        assert not call.done()
        follow(follower, leader)
        assert (await call).count == 0


async def test_no_leader_in_time() -> None:
    async with local_node(node_id="n2", follower=True, leader_wait_ms=50) as follower:
        code, reason, metadata, _ = await refused(
            follower.stubs.kv.Range(etcd.RangeRequest(key=b"a"))
        )
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NO_LEADER")
        assert metadata["definite"] == "true"


async def test_a_leader_that_cannot_be_reached_was_asked_nothing() -> None:
    async with local_node(node_id="n2", follower=True, leader_wait_ms=50) as follower:
        replicator = follower.replicator
        assert isinstance(replicator, FollowerReplicator)
        replicator.follow(Member("n1", "", "127.0.0.1:1"))
        _, reason, metadata, _ = await refused(
            follower.stubs.kv.Put(etcd.PutRequest(key=b"a", value=b"1"))
        )
        assert (reason, metadata["definite"]) == ("NO_LEADER", "true")


async def test_a_long_poll_follows_the_leadership() -> None:
    async with (
        local_node() as leader,
        local_node(node_id="n3") as next_leader,
        local_node(node_id="n2", follower=True) as follower,
    ):
        follow(follower, leader)
        session_id = await leader.stubs.open_session()
        assert session_id == await next_leader.stubs.open_session()
        request = task_pb2.ClaimRequest(
            header=common_pb2.RequestHeader(session_id=session_id),
            queues=["q"],
            max_tasks=1,
            lease_ttl_ms=1_000,
            wait_ms=60_000,
        )
        call = asyncio.ensure_future(follower.stubs.tasks.Claim(request))
        await eventually(lambda: leader.server.claim_queue.parked == 1)
        leader.replicator.set_role(Role.FOLLOWER)
        follow(follower, next_leader)
        await eventually(lambda: next_leader.server.claim_queue.parked == 1)
        submit = task_pb2.SubmitRequest(tasks=[task_pb2.TaskSpec(queue="q", payload=b"x")])
        await next_leader.stubs.tasks.Submit(submit)
        assert [one.payload for one in (await call).tasks] == [b"x"]


async def test_contact_lost_during_a_write_is_indefinite() -> None:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        follow(follower, leader)
        session_id = await leader.stubs.open_session()
        request = task_pb2.ClaimRequest(
            header=common_pb2.RequestHeader(session_id=session_id),
            queues=["q"],
            max_tasks=1,
            lease_ttl_ms=1_000,
            wait_ms=60_000,
        )
        call = asyncio.ensure_future(refused(follower.stubs.tasks.Claim(request)))
        await eventually(lambda: leader.server.claim_queue.parked == 1)
        follow(follower, None)
        replicator = follower.replicator
        assert isinstance(replicator, FollowerReplicator)
        replicator.follow(Member("n9", "", "127.0.0.1:1"))
        code, reason, metadata, _ = await call
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
        assert metadata["definite"] == "false"
        await eventually(lambda: leader.server.claim_queue.parked == 0)


async def test_an_unknown_outcome_is_indefinite() -> None:
    async with local_node() as node:
        call = asyncio.ensure_future(
            refused(node.stubs.kv.Put(etcd.PutRequest(key=b"a", value=b"1")))
        )
        await eventually(lambda: node.server.proposer.in_flight == 1 or call.done())
        if not call.done():
            node.replicator.set_role(Role.FOLLOWER)
            _, reason, metadata, _ = await call
            assert (reason, metadata["definite"]) == ("OUTCOME_UNKNOWN", "false")


async def test_status_asks_every_member() -> None:
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        follow(follower, leader)
        status = await follower.stubs.cluster.Status(cluster_pb2.StatusRequest())
        assert status.leader == "n1"
        assert {one.id: (one.role, one.reachable) for one in status.members} == {
            "n1": ("leader", True),
            "n2": ("follower", True),
        }


async def test_status_does_not_wait_for_the_unreachable() -> None:
    async with local_node(node_id="n2", follower=True) as follower:
        replicator = follower.replicator
        assert isinstance(replicator, FollowerReplicator)
        replicator.follow(Member("n1", "p:1", "127.0.0.1:1"))
        status = await follower.stubs.cluster.Status(cluster_pb2.StatusRequest(), timeout=5)
        assert {one.id: one.reachable for one in status.members} == {"n1": False, "n2": True}


async def test_health() -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
    async with local_node() as node:
        stub = health_pb2_grpc.HealthStub(node.stubs.channel)

        async def seen(service: str) -> int:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            return int(answer.status)

        for service in ("", "coord.v1.Tasks", "etcdserverpb.KV"):
            assert await seen(service) == serving
        node.replicator.set_role(Role.FOLLOWER)
        await asyncio.sleep(0.01)
        assert await seen("") == not_serving
        node.replicator.set_role(Role.LEADER)
        await asyncio.sleep(0.01)
        assert await seen("coord.v1.Locks") == serving
        await node.server.announce_leaving()
        assert await seen("") == not_serving


async def test_reflection() -> None:
    async with local_node() as node:
        stub = reflection_pb2_grpc.ServerReflectionStub(node.stubs.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = stub.ServerReflectionInfo(iter([request]))
        answer = await call.read()
        names = {one.name for one in answer.list_services_response.service}
        assert {"coord.v1.Tasks", "etcdserverpb.KV", "grpc.health.v1.Health"} <= names
        call.cancel()


async def test_a_leaving_node_sends_callers_elsewhere() -> None:
    async with local_node() as node:
        session_id = await node.stubs.open_session()
        request = task_pb2.ClaimRequest(
            header=common_pb2.RequestHeader(session_id=session_id),
            queues=["q"],
            max_tasks=1,
            lease_ttl_ms=1_000,
            wait_ms=60_000,
        )
        parked = asyncio.ensure_future(refused(node.stubs.tasks.Claim(request)))
        await eventually(lambda: node.server.claim_queue.parked == 1)
        await node.server.announce_leaving()
        node.server.refuse_calls()
        late = await refused(node.stubs.kv.Range(etcd.RangeRequest(key=b"a")))
        for code, reason, metadata, _ in (await parked, late):
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
            assert metadata["definite"] == "true"
