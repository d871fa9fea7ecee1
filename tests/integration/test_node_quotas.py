"""Quotas of queues and of the state, and deleted queues, through the API of a running node."""

from __future__ import annotations

import grpc
import pytest

from coord.core.base.levels import HIGHEST_LEVEL
from coord.pb import cluster_pb2 as cluster
from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import task_pb2 as pb
from tests.support.rpc import LocalNode, local_node, refused
from tests.support.waiting import eventually

DROP = pb.RetentionPolicy.RETENTION_POLICY_DROP_RESULTS_OLDEST


async def ready(node: LocalNode) -> None:
    await eventually(lambda: node.server.state_machine.state.level == HIGHEST_LEVEL)


def submit(queue: str, *payloads: bytes, **fields: object) -> pb.SubmitRequest:
    return pb.SubmitRequest(
        tasks=[pb.TaskSpec(queue=queue, payload=one, **fields) for one in payloads]  # type: ignore[arg-type]
    )


async def queue_of(node: LocalNode, name: str) -> pb.QueueInfo:
    reply = await node.stubs.tasks.ListQueues(pb.ListQueuesRequest(queue=name))
    found: pb.QueueInfo = reply.queues[0]
    return found


async def test_a_full_queue_refuses_and_is_seen_to() -> None:
    async with local_node() as node:
        await ready(node)
        tasks = node.stubs.tasks
        await tasks.SetQueue(pb.SetQueueRequest(queue="q", quota_tasks=2, policy=DROP))
        await tasks.SetQueue(pb.SetQueueRequest(queue="q", quota_bytes=10_000))
        await tasks.Submit(submit("q", b"1", b"2"))
        code, reason, metadata, message = await refused(tasks.Submit(submit("q", b"3")))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
        assert metadata["scope"] == "queue"
        assert "2 of 2 tasks" in message
        info = await queue_of(node, "q")
        assert (info.quota_tasks, info.quota_bytes, info.policy) == (2, 10_000, DROP)
        assert (info.kept, info.full_by) == (2, "tasks")
        assert info.size_bytes > 2


async def test_a_queue_is_deleted_step_by_step() -> None:
    async with local_node() as node:
        await ready(node)
        tasks = node.stubs.tasks
        await tasks.Submit(submit("q", *[b""] * 5))
        _, reason, metadata, _ = await refused(tasks.DeleteQueue(pb.DeleteQueueRequest(queue="q")))
        assert (reason, metadata["unfinished"]) == ("QUEUE_NOT_EMPTY", "5")
        request = pb.DeleteQueueRequest(queue="q", force=True, limit=3)
        reply = await tasks.DeleteQueue(request)
        assert (reply.deleted, reply.remaining) == (3, 2)
        _, reason, *_ = await refused(tasks.Submit(submit("q", b"")))
        assert reason == "QUEUE_BEING_DELETED"
        reply = await tasks.DeleteQueue(request)
        assert (reply.deleted, reply.remaining) == (2, 0)
        assert (await tasks.ListQueues(pb.ListQueuesRequest())).queues == []


async def test_one_conflict_refuses_the_whole_submit() -> None:
    async with local_node() as node:
        await ready(node)
        tasks = node.stubs.tasks
        await tasks.Submit(submit("q", b"x", idempotency_key="k"))
        both = submit("q", b"new")
        both.tasks.append(pb.TaskSpec(queue="q", payload=b"y", idempotency_key="k"))
        code, reason, metadata, _ = await refused(tasks.Submit(both))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "IDEMPOTENCY_CONFLICT")
        assert metadata["field"] == "tasks[1].idempotency_key"
        assert (await queue_of(node, "q")).ready == 1


async def test_a_full_state_refuses_growth_only() -> None:
    async with local_node() as node:
        await ready(node)
        tasks, kv = node.stubs.tasks, node.stubs.kv
        session_id = await node.stubs.open_session()
        await kv.Put(etcd.PutRequest(key=b"k", value=b"v" * 500_000))
        await tasks.Submit(submit("q", b"x" * 500_000))
        quota = await node.stubs.cluster.SetQuota(cluster.SetQuotaRequest(limit_bytes=1 << 20))
        assert (quota.limit_bytes, quota.alarm, quota.automatic) == (1 << 20, False, False)
        await kv.Put(etcd.PutRequest(key=b"l", value=b"v" * 100_000))
        assert (await node.stubs.cluster.GetQuota(cluster.GetQuotaRequest())).alarm
        status = await node.stubs.cluster.Status(cluster.StatusRequest())
        assert status.quota_alarm
        assert status.state_bytes >= status.quota_bytes == 1 << 20
        before = node.log_index()
        _, reason, metadata, _ = await refused(tasks.Submit(submit("q", b"")))
        assert (reason, metadata["scope"]) == ("QUOTA_EXCEEDED", "cluster")
        code, _, _, message = await refused(kv.Put(etcd.PutRequest(key=b"k", value=b"")))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message == "etcdserver: mvcc: database space exceeded"
        assert node.log_index() == before
        header = {"session_id": session_id}
        claim = pb.ClaimRequest(header=header, queues=["q"], max_tasks=1, lease_ttl_ms=5_000)
        (claimed,) = (await tasks.Claim(claim)).tasks
        item = pb.CompleteItem(task_id=claimed.task_id, fencing_token=claimed.fencing_token)
        await tasks.Complete(pb.CompleteRequest(header=header, items=[item]))
        await kv.DeleteRange(etcd.DeleteRangeRequest(key=b"k"))
        reply = await kv.DeleteRange(etcd.DeleteRangeRequest(key=b"l"))
        await kv.Compact(etcd.CompactionRequest(revision=reply.header.revision))
        assert not (await node.stubs.cluster.GetQuota(cluster.GetQuotaRequest())).alarm
        await tasks.Submit(submit("q", b""))


@pytest.mark.parametrize("limit_bytes", [1, (1 << 20) - 1, (1 << 53) + 1])
async def test_a_quota_beyond_its_bounds_is_refused(limit_bytes: int) -> None:
    async with local_node() as node:
        await ready(node)
        request = cluster.SetQuotaRequest(limit_bytes=limit_bytes)
        _, reason, metadata, _ = await refused(node.stubs.cluster.SetQuota(request))
        assert (reason, metadata["field"]) == ("INVALID_ARGUMENT", "limit_bytes")


async def test_a_quota_can_be_left_to_the_machine_again() -> None:
    async with local_node(memory_bytes=3 << 30) as node:
        await ready(node)
        stub = node.stubs.cluster
        await stub.SetQuota(cluster.SetQuotaRequest(limit_bytes=1 << 20))
        quota = await stub.SetQuota(cluster.SetQuotaRequest())
        assert (quota.limit_bytes, quota.automatic) == (1 << 30, True)


async def test_at_level_0_settings_are_refused() -> None:
    async with local_node(level=0) as node:
        for call in (
            node.stubs.tasks.SetQueue(pb.SetQueueRequest(queue="q")),
            node.stubs.tasks.DeleteQueue(pb.DeleteQueueRequest(queue="q")),
            node.stubs.cluster.SetQuota(cluster.SetQuotaRequest(limit_bytes=1 << 30)),
        ):
            _, reason, metadata, _ = await refused(call)
            assert (reason, metadata["needed"]) == ("LEVEL_TOO_LOW", "1")
