"""Every RPC of one node, over real gRPC and a replicated log of one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from coord.pb import cluster_pb2, common_pb2, lock_pb2, session_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.replication.background import AWAITED
from coord.rpc.services import cluster as cluster_service
from tests.support.rpc import LocalNode, local_node, refused
from tests.support.waiting import eventually


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        yield running


def header(session_id: int, sequence: int = 0) -> common_pb2.RequestHeader:
    return common_pb2.RequestHeader(session_id=session_id, sequence=sequence)


async def submit(
    node: LocalNode, *payloads: bytes, queue: str = "q", **fields: object
) -> list[str]:
    request = task_pb2.SubmitRequest(
        tasks=[task_pb2.TaskSpec(queue=queue, payload=one, **fields) for one in payloads]
    )
    return [one.task_id for one in (await node.stubs.tasks.Submit(request)).tasks]


def claim(
    node: LocalNode, session_id: int, *, wait_ms: int = 0, max_tasks: int = 1, **more: object
):
    return node.stubs.tasks.Claim(
        task_pb2.ClaimRequest(
            header=header(session_id),
            queues=["q"],
            max_tasks=max_tasks,
            lease_ttl_ms=10_000,
            wait_ms=wait_ms,
            **more,
        )
    )


async def test_sessions(node: LocalNode) -> None:
    session_id = await node.stubs.open_session(name="me", labels={"a": "b"}, queues=["q"], slots=2)
    kept = await node.stubs.sessions.KeepAlive(session_pb2.KeepAliveRequest(session_id=session_id))
    assert kept.ttl_ms == 10_000
    listed = await node.stubs.sessions.List(session_pb2.ListSessionsRequest())
    assert [(one.session_id, one.name, dict(one.labels)) for one in listed.sessions] == [
        (session_id, "me", {"a": "b"})
    ]
    assert 0 < listed.sessions[0].remaining_ms <= 10_000
    assert listed.header.cluster_id == "test"
    assert listed.header.node_id == "n1"
    assert listed.header.revision >= session_id
    await node.stubs.sessions.Close(session_pb2.CloseSessionRequest(session_id=session_id))
    again = node.stubs.sessions.KeepAlive(session_pb2.KeepAliveRequest(session_id=session_id))
    assert (await refused(again))[:2] == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


async def test_a_task_from_submit_to_result(node: LocalNode) -> None:
    stubs = node.stubs
    session_id = await stubs.open_session()
    (task_id,) = await submit(node, b"work", priority=3, labels={"k": "v"})
    claimed = (await claim(node, session_id, worker="w")).tasks
    assert [(one.task_id, one.payload, one.attempt, one.priority) for one in claimed] == [
        (task_id, b"work", 1, 3)
    ]
    token = claimed[0].fencing_token
    beat = await stubs.tasks.Heartbeat(
        task_pb2.HeartbeatRequest(
            header=header(session_id),
            items=[
                task_pb2.HeartbeatItem(task_id=task_id, fencing_token=token, checkpoint=b"half"),
                task_pb2.HeartbeatItem(task_id=task_id, fencing_token=token + 99),
                task_pb2.HeartbeatItem(task_id="t99999", fencing_token=1),
            ],
        )
    )
    assert [one.error.reason for one in beat.results] == [
        "",
        "STALE_FENCING_TOKEN",
        "TASK_NOT_FOUND",
    ]
    assert beat.results[1].error.metadata["current"] == str(token)
    got = (await stubs.tasks.Get(task_pb2.GetTaskRequest(task_id=task_id))).task
    assert (got.state, got.checkpoint, got.worker) == (task_pb2.TASK_STATE_CLAIMED, b"half", "w")
    done = await stubs.tasks.Complete(
        task_pb2.CompleteRequest(
            header=header(session_id),
            items=[task_pb2.CompleteItem(task_id=task_id, fencing_token=token, result=b"fine")],
        )
    )
    assert [one.state for one in done.results] == [task_pb2.TASK_STATE_COMPLETED]
    waited = await stubs.tasks.Wait(task_pb2.WaitTasksRequest(task_ids=[task_id, "t99999"]))
    assert (waited.all_done, waited.tasks[0].result) == (True, b"fine")
    assert list(waited.unknown_task_ids) == ["t99999"]


async def test_fail_release_cancel_retry_redrive(node: LocalNode) -> None:
    stubs = node.stubs
    session_id = await stubs.open_session()
    first, second, third = await submit(node, b"1", b"2", b"3")
    tokens = {
        one.task_id: one.fencing_token for one in (await claim(node, session_id, max_tasks=2)).tasks
    }
    assert list(tokens) == [first, second]
    failed = await stubs.tasks.Fail(
        task_pb2.FailRequest(
            header=header(session_id),
            items=[
                task_pb2.FailItem(
                    task_id=first, fencing_token=tokens[first], error="bad", retryable=False
                )
            ],
        )
    )
    assert failed.results[0].state == task_pb2.TASK_STATE_DEAD
    released = await stubs.tasks.Release(
        task_pb2.ReleaseRequest(
            header=header(session_id),
            items=[task_pb2.ReleaseItem(task_id=second, fencing_token=tokens[second])],
        )
    )
    assert released.results[0].state == task_pb2.TASK_STATE_READY
    cancelled = await stubs.tasks.Cancel(task_pb2.CancelTaskRequest(task_id=third))
    assert cancelled.state == task_pb2.TASK_STATE_CANCELLED
    retried = await stubs.tasks.Retry(task_pb2.RetryTaskRequest(task_id=third))
    assert retried.state == task_pb2.TASK_STATE_READY
    redriven = await stubs.tasks.Redrive(task_pb2.RedriveRequest(queue="q", limit=10))
    assert redriven.redriven == 1
    listed = await stubs.tasks.List(task_pb2.ListTasksRequest(queue="q", limit=2))
    assert ([one.task_id for one in listed.tasks], listed.more) == ([first, second], True)
    rest = await stubs.tasks.List(task_pb2.ListTasksRequest(after_task_id=second))
    assert ([one.task_id for one in rest.tasks], rest.more) == ([third], False)


async def test_queues_pause_and_explain(node: LocalNode) -> None:
    stubs = node.stubs
    session_id = await stubs.open_session()
    (task_id,) = await submit(node, b"")
    await stubs.tasks.PauseQueue(task_pb2.PauseQueueRequest(queue="q", paused=True))
    assert not (await claim(node, session_id)).tasks
    explained = await stubs.tasks.Explain(task_pb2.ExplainTaskRequest(task_id=task_id))
    assert "QUEUE_PAUSED" in explained.reasons
    (queue,) = (await stubs.tasks.ListQueues(task_pb2.ListQueuesRequest())).queues
    assert (queue.queue, queue.paused, queue.ready, queue.submitted_total) == ("q", True, 1, 1)
    waiting = asyncio.ensure_future(claim(node, session_id, wait_ms=10_000))
    await eventually(lambda: node.server.claim_queue.parked == 1)
    await stubs.tasks.PauseQueue(task_pb2.PauseQueueRequest(queue="q", paused=False))
    assert [one.task_id for one in (await waiting).tasks] == [task_id]


async def test_a_long_poll_writes_nothing_until_there_is_work(node: LocalNode) -> None:
    sessions = [await node.stubs.open_session() for _ in range(5)]
    before = node.log_index()
    polls = [asyncio.ensure_future(claim(node, one, wait_ms=20_000)) for one in sessions]
    await eventually(lambda: node.server.claim_queue.parked == 5)
    assert node.log_index() == before
    (task_id,) = await submit(node, b"x")
    await eventually(lambda: any(one.done() for one in polls))
    assert node.server.claim_queue.parked == 4
    assert node.log_index() == before + 2  # the submit, and one claim
    assert [t.task_id for one in polls if one.done() for t in one.result().tasks] == [task_id]
    more = await submit(node, *[b"y"] * 4)
    answers = await asyncio.gather(*polls)
    assert sorted(t.task_id for one in answers for t in one.tasks) == sorted([task_id, *more])


async def test_a_claim_that_waited_in_vain_comes_back_empty(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    before = node.log_index()
    assert not (await claim(node, session_id, wait_ms=30)).tasks
    assert node.log_index() == before
    assert node.server.claim_queue.parked == 0


async def test_a_long_poll_ends_before_the_callers_deadline(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    request = task_pb2.ClaimRequest(
        header=header(session_id), queues=["q"], max_tasks=1, lease_ttl_ms=1_000, wait_ms=60_000
    )
    assert not (await node.stubs.tasks.Claim(request, timeout=0.4)).tasks


async def test_wait_ends_when_the_last_task_does(node: LocalNode) -> None:
    task_ids = await submit(node, b"1", b"2")
    request = task_pb2.WaitTasksRequest(task_ids=task_ids, wait_ms=20_000)
    waiting = asyncio.ensure_future(node.stubs.tasks.Wait(request))
    await eventually(lambda: len(node.server.watches) == 2)
    for task_id in task_ids:
        assert not waiting.done()
        await node.stubs.tasks.Cancel(task_pb2.CancelTaskRequest(task_id=task_id))
    answer = await waiting
    assert (answer.all_done, len(answer.tasks)) == (True, 2)
    assert len(node.server.watches) == 0


async def test_wait_that_is_over_says_what_is_known(node: LocalNode) -> None:
    (task_id,) = await submit(node, b"1")
    request = task_pb2.WaitTasksRequest(task_ids=[task_id], wait_ms=20, omit_payload=True)
    answer = await node.stubs.tasks.Wait(request)
    assert (answer.all_done, answer.tasks[0].state) == (False, task_pb2.TASK_STATE_READY)


async def test_locks(node: LocalNode) -> None:
    stubs = node.stubs
    one, two = await stubs.open_session(), await stubs.open_session()
    request = lock_pb2.AcquireLockRequest(header=header(one), name="l", holder="a", ttl_ms=5_000)
    first = await stubs.locks.Acquire(request)
    assert first.acquired
    busy = await stubs.locks.Acquire(
        lock_pb2.AcquireLockRequest(header=header(two), name="l", holder="b")
    )
    assert (busy.acquired, busy.lock.holder, busy.lock.session_id) == (False, "a", one)
    waiting = asyncio.ensure_future(
        stubs.locks.Acquire(
            lock_pb2.AcquireLockRequest(header=header(two), name="l", holder="b", wait_ms=20_000)
        )
    )
    await eventually(lambda: len(node.server.watches) > 0)
    held = (await stubs.locks.Get(lock_pb2.GetLockRequest(name="l"))).lock
    assert [(w.session_id, w.holder) for w in held.waiters] == [(two, "b")]
    token = first.fencing_token
    kept = await stubs.locks.Refresh(
        lock_pb2.RefreshLockRequest(header=header(one), name="l", fencing_token=token)
    )
    assert kept.ttl_ms == 5_000
    await stubs.locks.Release(
        lock_pb2.ReleaseLockRequest(header=header(one), name="l", fencing_token=token)
    )
    second = await waiting
    assert second.acquired
    assert second.fencing_token > token
    listed = await stubs.locks.List(lock_pb2.ListLocksRequest(prefix="l"))
    assert [(lock.name, lock.holder) for lock in listed.locks] == [("l", "b")]
    assert len(node.server.watches) == 0


async def test_kv_of_etcd(node: LocalNode) -> None:
    kv = node.stubs.kv
    put = await kv.Put(etcd.PutRequest(key=b"a", value=b"1"))
    assert put.header.revision > 0
    assert put.header.cluster_id > 0
    got = await kv.Range(etcd.RangeRequest(key=b"a"))
    assert [(one.key, one.value, one.version) for one in got.kvs] == [(b"a", b"1", 1)]
    swap = etcd.TxnRequest(
        compare=[
            etcd.Compare(
                key=b"a",
                target=etcd.Compare.MOD,
                result=etcd.Compare.EQUAL,
                mod_revision=put.header.revision,
            )
        ],
        success=[etcd.RequestOp(request_put=etcd.PutRequest(key=b"a", value=b"2"))],
        failure=[etcd.RequestOp(request_range=etcd.RangeRequest(key=b"a"))],
    )
    assert (await kv.Txn(swap)).succeeded
    lost = await kv.Txn(swap)
    assert not lost.succeeded
    assert lost.responses[0].response_range.kvs[0].value == b"2"
    old = await kv.Range(etcd.RangeRequest(key=b"a", revision=put.header.revision))
    assert old.kvs[0].value == b"1"
    compaction = etcd.CompactionRequest(revision=lost.header.revision)
    await kv.Compact(compaction)
    code, reason, _, text = await refused(
        kv.Range(etcd.RangeRequest(key=b"a", revision=put.header.revision))
    )
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_COMPACTED")
    assert text == "etcdserver: mvcc: required revision has been compacted"
    gone = await kv.DeleteRange(etcd.DeleteRangeRequest(key=b"a", prev_kv=True))
    assert (gone.deleted, gone.prev_kvs[0].value) == (1, b"2")
    serial = await kv.Range(etcd.RangeRequest(key=b"a", serializable=True))
    assert serial.count == 0


async def test_a_repeated_put_is_carried_out_once(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    metadata = (("coord-session", str(session_id)), ("coord-sequence", "1"))
    request = etcd.PutRequest(key=b"a", value=b"1")
    first = await node.stubs.kv.Put(request, metadata=metadata)
    again = await node.stubs.kv.Put(request, metadata=metadata)
    assert first.header.revision == again.header.revision
    got = await node.stubs.kv.Range(etcd.RangeRequest(key=b"a"))
    assert got.kvs[0].version == 1


async def test_a_repeated_claim_gets_the_first_answer(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    (task_id,) = await submit(node, b"x")
    request = task_pb2.ClaimRequest(
        header=header(session_id, 1), queues=["q"], max_tasks=1, lease_ttl_ms=10_000
    )
    first = await node.stubs.tasks.Claim(request)
    again = await node.stubs.tasks.Claim(request)
    assert [one.task_id for one in first.tasks] == [task_id]
    assert again.tasks == first.tasks


async def test_a_digest_of_much_rests_between_its_slices(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        await submit(node, bytes([number]) * 100_000)
    worked: list[float] = []

    def rest_s(began: float, times: float) -> float:
        worked.append(time.perf_counter() - began)
        assert times == AWAITED
        return 0.0

    monkeypatch.setattr(cluster_service, "rest_s", rest_s)
    digest = await node.stubs.cluster.NodeDigest(cluster_pb2.NodeDigestRequest())
    assert digest.digest == node.server.state_machine.machine.digest()
    assert len(worked) > 4
    assert 0 < min(worked) <= max(worked) < 1, "each slice by itself, and not the rest before it"


async def test_cluster(node: LocalNode) -> None:
    stubs = node.stubs
    status = await stubs.cluster.Status(cluster_pb2.StatusRequest())
    assert (status.cluster_id, status.leader, status.node_id) == ("test", "n1", "n1")
    assert [(one.id, one.role, one.reachable) for one in status.members] == [("n1", "leader", True)]
    assert status.members[0].version
    own = await stubs.cluster.NodeStatus(cluster_pb2.NodeStatusRequest())
    assert own.write_block_reason == ""
    digest = await stubs.cluster.NodeDigest(cluster_pb2.NodeDigestRequest())
    await submit(node, b"x")
    later = await stubs.cluster.NodeDigest(
        cluster_pb2.NodeDigestRequest(min_applied_index=digest.applied_index + 1, wait_ms=1_000)
    )
    assert later.applied_index == digest.applied_index + 1
    assert later.digest != digest.digest
    assert later.digest == node.server.state_machine.machine.digest()
    transfer = stubs.cluster.TransferLeader(cluster_pb2.TransferLeaderRequest(target="n9"))
    assert (await refused(transfer))[:2] == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
    )
    transfer = stubs.cluster.TransferLeader(cluster_pb2.TransferLeaderRequest())
    assert (await refused(transfer))[1] == "TRANSFER_FAILED"


async def test_many_keep_alives_are_one_write() -> None:
    async with local_node(hold_back_ms=100) as node:
        sessions = [await node.stubs.open_session(ttl_ms=60_000) for _ in range(20)]
        before = node.log_index()
        await asyncio.gather(
            *(
                node.stubs.sessions.KeepAlive(session_pb2.KeepAliveRequest(session_id=one))
                for one in sessions
            )
        )
        assert node.log_index() == before + 1


async def test_a_keep_alive_is_not_held_back_until_its_session_is_gone() -> None:
    async with local_node(hold_back_ms=5_000) as node:
        session_id = await node.stubs.open_session(ttl_ms=400)
        for _ in range(4):
            keep = session_pb2.KeepAliveRequest(session_id=session_id)
            await node.stubs.sessions.KeepAlive(keep, timeout=5)


async def test_claimed_tasks_that_fit_no_message_are_given_back(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    task_ids = await submit(node, *[bytes(1_000_000)] * 5)
    claimed = (await claim(node, session_id, max_tasks=5)).tasks
    assert [one.task_id for one in claimed] == task_ids[:3]
    again = (await claim(node, session_id, max_tasks=5)).tasks
    assert [(one.task_id, one.attempt) for one in again] == [(one, 1) for one in task_ids[3:]]


async def test_an_idle_node_writes_nothing(node: LocalNode) -> None:
    await submit(node, b"x")
    before = node.log_index()
    await asyncio.sleep(0.2)
    assert node.log_index() == before


async def test_a_lease_ends_without_traffic(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    (task_id,) = await submit(node, b"x")
    request = task_pb2.ClaimRequest(
        header=header(session_id), queues=["q"], max_tasks=1, lease_ttl_ms=100
    )
    assert (await node.stubs.tasks.Claim(request)).tasks
    await eventually(lambda: node.server.state_machine.state.tasks[int(task_id[1:])].lease is None)
