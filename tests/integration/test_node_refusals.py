"""What a node refuses, and how it says so: status code, reason, metadata."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from coord.pb import common_pb2, lock_pb2, session_pb2, task_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.replication.port import WriteBlock
from tests.support.rpc import LocalNode, Stubs, local_node, refused
from tests.support.waiting import eventually

HEADER = common_pb2.RequestHeader
BAD_UTF8 = b"\x0a\x02\xc3\x28"  # field 1, two bytes that are not UTF-8


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        yield running


def negative(number: int) -> int:
    """As a client in another language would send it in an unsigned field."""
    return number % (1 << 64)


def claim(session_id: int, **more: Any) -> task_pb2.ClaimRequest:
    fields = {"queues": ["q"], "max_tasks": 1, "lease_ttl_ms": 1_000} | more
    return task_pb2.ClaimRequest(header=HEADER(session_id=session_id), **fields)


CASES: dict[str, tuple[Callable[[Stubs], Any], str, str]] = {
    "unknown task": (
        lambda s: s.tasks.Get(task_pb2.GetTaskRequest(task_id="t77")),
        "NOT_FOUND",
        "TASK_NOT_FOUND",
    ),
    "cancel of an unknown task": (
        lambda s: s.tasks.Cancel(task_pb2.CancelTaskRequest(task_id="t77")),
        "NOT_FOUND",
        "TASK_NOT_FOUND",
    ),
    "explain of an unknown task": (
        lambda s: s.tasks.Explain(task_pb2.ExplainTaskRequest(task_id="nonsense")),
        "NOT_FOUND",
        "TASK_NOT_FOUND",
    ),
    "unknown session": (lambda s: s.tasks.Claim(claim(99)), "NOT_FOUND", "SESSION_NOT_FOUND"),
    "claim without a session": (
        lambda s: s.tasks.Claim(claim(0)),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "lock without a session": (
        lambda s: s.locks.Acquire(lock_pb2.AcquireLockRequest(name="l", holder="h")),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "sequence without a session": (
        lambda s: s.tasks.Submit(
            task_pb2.SubmitRequest(header=HEADER(sequence=1), tasks=[task_pb2.TaskSpec(queue="q")])
        ),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "release of a lock nobody holds": (
        lambda s: s.locks.Release(lock_pb2.ReleaseLockRequest(name="l", fencing_token=1)),
        "FAILED_PRECONDITION",
        "LOCK_NOT_HELD",
    ),
    "negative TTL": (
        lambda s: s.sessions.Open(
            session_pb2.OpenSessionRequest(ttl_ms=negative(-5), nonce=b"n", kind="client")
        ),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "endless wait": (
        lambda s: s.tasks.Wait(task_pb2.WaitTasksRequest(task_ids=["t1"], wait_ms=negative(-1))),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "empty batch": (
        lambda s: s.tasks.Submit(task_pb2.SubmitRequest()),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "empty wait": (
        lambda s: s.tasks.Wait(task_pb2.WaitTasksRequest()),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "too many tasks": (
        lambda s: s.tasks.Submit(
            task_pb2.SubmitRequest(tasks=[task_pb2.TaskSpec(queue="q")] * 1_001)
        ),
        "INVALID_ARGUMENT",
        "TOO_LARGE",
    ),
    "oversized payload": (
        lambda s: s.tasks.Submit(
            task_pb2.SubmitRequest(tasks=[task_pb2.TaskSpec(queue="q", payload=b"x" * 1_048_577)])
        ),
        "INVALID_ARGUMENT",
        "TOO_LARGE",
    ),
    "oversized name": (
        lambda s: s.tasks.Submit(
            task_pb2.SubmitRequest(tasks=[task_pb2.TaskSpec(queue="q" * 257)])
        ),
        "INVALID_ARGUMENT",
        "TOO_LARGE",
    ),
    "unknown queue listed": (
        lambda s: s.tasks.List(task_pb2.ListTasksRequest(queue="nope")),
        "NOT_FOUND",
        "QUEUE_NOT_FOUND",
    ),
    "unknown queue redriven": (
        lambda s: s.tasks.Redrive(task_pb2.RedriveRequest(queue="nope", limit=1)),
        "NOT_FOUND",
        "QUEUE_NOT_FOUND",
    ),
    "unknown queue shown": (
        lambda s: s.tasks.ListQueues(task_pb2.ListQueuesRequest(queue="nope")),
        "NOT_FOUND",
        "QUEUE_NOT_FOUND",
    ),
    "unknown task state": (
        lambda s: s.tasks.List(task_pb2.ListTasksRequest(states=[99])),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "empty key": (
        lambda s: s.kv.Put(etcd.PutRequest(value=b"v")),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
    "key put twice": (
        lambda s: s.kv.Txn(
            etcd.TxnRequest(success=[etcd.RequestOp(request_put=etcd.PutRequest(key=b"a"))] * 2)
        ),
        "INVALID_ARGUMENT",
        "DUPLICATE_KEY",
    ),
    "future revision": (
        lambda s: s.kv.Range(etcd.RangeRequest(key=b"a", revision=10_000)),
        "OUT_OF_RANGE",
        "REVISION_IN_FUTURE",
    ),
    "bad metadata": (
        lambda s: s.kv.Put(etcd.PutRequest(key=b"a"), metadata=(("coord-session", "x"),)),
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_refused(node: LocalNode, case: str) -> None:
    call, code, reason = CASES[case]
    found = await refused(call(node.stubs))
    assert (found[0].name, found[1]) == (code, reason)
    assert found[2]["definite"] == "true"
    assert found[3]


@pytest.mark.parametrize(
    "method",
    [
        "/coord.v1.Tasks/Get",
        "/coord.v1.Tasks/Cancel",
        "/coord.v1.Locks/Get",
        "/coord.v1.Sessions/List",
        "/coord.v1.Cluster/TransferLeader",
    ],
)
@pytest.mark.parametrize("raw", [BAD_UTF8 * 3, b"\xff\xff\xff", b"\x12\x7f\x00"])
async def test_bytes_that_are_no_request(node: LocalNode, method: str, raw: bytes) -> None:
    before = node.log_index()
    code, reason, _, _ = await refused(node.stubs.channel.unary_unary(method)(raw))
    if method.endswith("Get") and raw.startswith(b"\x12"):
        return  # field 2 there is no text
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert node.log_index() == before


async def test_stale_token(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    lock = await node.stubs.locks.Acquire(
        lock_pb2.AcquireLockRequest(header=HEADER(session_id=session_id), name="l", holder="h")
    )
    stale = node.stubs.locks.Release(
        lock_pb2.ReleaseLockRequest(name="l", fencing_token=lock.fencing_token - 1)
    )
    code, reason, metadata, _ = await refused(stale)
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STALE_FENCING_TOKEN")
    assert metadata["current"] == str(lock.fencing_token)


async def test_expired_session(node: LocalNode) -> None:
    session_id = await node.stubs.open_session(ttl_ms=100)
    await eventually(lambda: session_id not in node.server.state_machine.state.sessions)
    keep = node.stubs.sessions.KeepAlive(session_pb2.KeepAliveRequest(session_id=session_id))
    assert (await refused(keep))[:2] == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


async def test_unknown_method(node: LocalNode) -> None:
    code, *_ = await refused(node.stubs.channel.unary_unary("/coord.v1.Tasks/Nope")(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_too_large_a_message() -> None:
    async with local_node(max_message_bytes=100_000) as node:
        request = task_pb2.SubmitRequest(
            tasks=[task_pb2.TaskSpec(queue="q", payload=b"x" * 100_000)]
        )
        code, reason, metadata, _ = await refused(node.stubs.tasks.Submit(request))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
        assert metadata["limit"] == "100000"


async def test_a_vanished_claimer_leaves_no_waiter(node: LocalNode) -> None:
    session_id = await node.stubs.open_session()
    call = node.stubs.tasks.Claim(claim(session_id, wait_ms=60_000))
    await eventually(lambda: node.server.claim_queue.parked == 1)
    call.cancel()
    await eventually(lambda: node.server.claim_queue.parked == 0)


async def test_a_vanished_waiter_leaves_the_queue_of_the_lock(node: LocalNode) -> None:
    one, two = await node.stubs.open_session(), await node.stubs.open_session()

    def acquire(session_id: int, wait_ms: int = 0) -> Any:
        return node.stubs.locks.Acquire(
            lock_pb2.AcquireLockRequest(
                header=HEADER(session_id=session_id), name="l", holder="h", wait_ms=wait_ms
            )
        )

    assert (await acquire(one)).acquired
    call = acquire(two, 60_000)
    state = node.server.state_machine.state
    await eventually(lambda: len(state.waiters) == 1 and len(node.server.watches) > 0)
    call.cancel()
    await eventually(lambda: len(state.waiters) == 0)
    assert len(node.server.watches) == 0


async def test_a_lock_not_had_in_time(node: LocalNode) -> None:
    one, two = await node.stubs.open_session(), await node.stubs.open_session()
    for session_id, wait_ms, acquired in ((one, 0, True), (two, 50, False)):
        answer = await node.stubs.locks.Acquire(
            lock_pb2.AcquireLockRequest(
                header=HEADER(session_id=session_id), name="l", holder="h", wait_ms=wait_ms
            )
        )
        assert answer.acquired is acquired
    assert answer.lock.session_id == one
    await eventually(lambda: len(node.server.state_machine.state.waiters) == 0)


async def test_a_session_that_ends_ends_its_waits(node: LocalNode) -> None:
    one, two = await node.stubs.open_session(), await node.stubs.open_session()
    for session_id in (one, two):
        call = node.stubs.locks.Acquire(
            lock_pb2.AcquireLockRequest(
                header=HEADER(session_id=session_id), name="l", holder="h", wait_ms=60_000
            )
        )
        if session_id == one:
            await call
    await eventually(lambda: len(node.server.state_machine.state.waiters) == 1)
    await node.stubs.sessions.Close(session_pb2.CloseSessionRequest(session_id=two))
    assert (await refused(call))[1] == "SESSION_NOT_FOUND"


async def test_a_full_disk_refuses_writes_and_recovers(node: LocalNode) -> None:
    put = etcd.PutRequest(key=b"a", value=b"1")
    node.replicator.block_writes(WriteBlock.DISK_FULL)
    code, reason, metadata, _ = await refused(node.stubs.kv.Put(put))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    assert metadata["definite"] == "true"
    assert (await node.stubs.kv.Range(etcd.RangeRequest(key=b"a"))).count == 0
    node.replicator.block_writes(None)
    assert (await node.stubs.kv.Put(put)).header.revision > 0


async def test_writes_wait_out_a_short_block(node: LocalNode) -> None:
    node.replicator.block_writes("leadership is being handed over")
    put = asyncio.ensure_future(node.stubs.kv.Put(etcd.PutRequest(key=b"a", value=b"1")))
    await asyncio.sleep(0.05)
    assert not put.done()
    node.replicator.block_writes(None)
    assert (await put).header.revision > 0


async def test_a_bug_shows_no_traceback(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("coord.rpc.services.sessions.page_limit", broken)
    code, reason, _, text = await refused(
        node.stubs.sessions.List(session_pb2.ListSessionsRequest())
    )
    assert (code, reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in text
    assert "secret detail" in capsys.readouterr().out
