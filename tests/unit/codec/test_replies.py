"""Replies to response bytes."""

from __future__ import annotations

from typing import Any

import pytest

from coord.codec.kinds import CommandKind as K
from coord.codec.lookup import StateLookup
from coord.codec.replies import ReplyEncoder
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import Done, RequestId
from coord.core.batch import Batch, Command, Reply, Request
from coord.core.kv.commands import KeyValue, KvDeleteReply, KvPutReply, KvRangeReply, KvTxnReply
from coord.core.locks.commands import AcquireLock, LockReply, RefreshLock
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession, SessionKept, SessionOpened
from coord.core.tasks.commands import (
    Claimed,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    ItemOutcome,
    ItemOutcomes,
    Redriven,
    SubmitTasks,
    Submitted,
    TaskChanged,
    TaskSpec,
)
from coord.pb import common_pb2, lock_pb2, session_pb2, task_pb2
from coord.pb import etcd_kv_pb2 as kv_pb
from coord.pb import etcd_rpc_pb2 as etcd

HEADER = common_pb2.ResponseHeader(cluster_id="c1", node_id="n1", term=3, revision=77)


@pytest.fixture
def encoder() -> ReplyEncoder:
    encoder = ReplyEncoder("c1", "n1", 11, 12)
    encoder.at(3, 77)
    return encoder


def etcd_header(revision: int) -> etcd.ResponseHeader:
    return etcd.ResponseHeader(cluster_id=11, member_id=12, revision=revision, raft_term=3)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def run(machine: Machine, command: Command, session_id: int = 0) -> Reply:
    identity = RequestId(session_id, 0, 0) if session_id else None
    (reply,) = machine.apply(Batch(machine.now_ms + 1, 1, [Request(command, identity)])).replies
    return reply


def opened(machine: Machine) -> int:
    reply = run(machine, OpenSession(5_000, b"n%d" % machine.revision))
    assert isinstance(reply, SessionOpened)
    return reply.session_id


REFUSED = Rejected(Reason.STALE_FENCING_TOKEN, "stale", (("current", "4"),))
OUTCOMES = ItemOutcomes((ItemOutcome(4, 9), ItemOutcome(3, 0, REFUSED)))
RESULTS = [
    task_pb2.ItemResult(state=task_pb2.TASK_STATE_COMPLETED, revision=9),
    task_pb2.ItemResult(
        state=task_pb2.TASK_STATE_CLAIMED,
        error=common_pb2.ItemError(
            reason="STALE_FENCING_TOKEN", message="stale", metadata={"current": "4"}
        ),
    ),
]


@pytest.mark.parametrize(
    ("kind", "reply", "expected"),
    [
        (
            K.OPEN_SESSION,
            SessionOpened(5, 900, 5),
            session_pb2.OpenSessionResponse(session_id=5, ttl_ms=900),
        ),
        (K.KEEP_ALIVE, SessionKept(900), session_pb2.KeepAliveResponse(ttl_ms=900)),
        (K.CLOSE_SESSION, Done(4), session_pb2.CloseSessionResponse()),
        (
            K.SUBMIT_TASKS,
            Submitted((("t1", 1, False), ("t2", 2, True))),
            task_pb2.SubmitResponse(
                tasks=[
                    task_pb2.SubmittedTask(task_id="t1", revision=1),
                    task_pb2.SubmittedTask(task_id="t2", revision=2, existed=True),
                ]
            ),
        ),
        (K.HEARTBEAT_TASKS, OUTCOMES, task_pb2.HeartbeatResponse(results=RESULTS)),
        (K.COMPLETE_TASKS, OUTCOMES, task_pb2.CompleteResponse(results=RESULTS)),
        (K.FAIL_TASKS, OUTCOMES, task_pb2.FailResponse(results=RESULTS)),
        (K.RELEASE_TASKS, OUTCOMES, task_pb2.ReleaseResponse(results=RESULTS)),
        (K.CANCEL_TASK, TaskChanged(6, 9), task_pb2.CancelTaskResponse(state=6)),  # type: ignore[arg-type]
        (K.RETRY_TASK, TaskChanged(2, 9), task_pb2.RetryTaskResponse(state=2)),  # type: ignore[arg-type]
        (K.REDRIVE_QUEUE, Redriven(3, 9), task_pb2.RedriveResponse(redriven=3)),
        (K.PAUSE_QUEUE, Done(4), task_pb2.PauseQueueResponse()),
        (K.RELEASE_LOCK, Done(4), lock_pb2.ReleaseLockResponse()),
        (K.CANCEL_LOCK_WAIT, Done(4), lock_pb2.ReleaseLockResponse()),
        (
            K.ACQUIRE_LOCK,
            LockReply(True, 8, False, 0, 8),
            lock_pb2.AcquireLockResponse(acquired=True, fencing_token=8),
        ),
    ],
)
def test_replies_that_say_all(
    encoder: ReplyEncoder, machine: Machine, kind: K, reply: Any, expected: Any
) -> None:
    expected.header.CopyFrom(HEADER)
    data = encoder.encode(kind, None, reply, StateLookup(machine.state))
    assert type(expected).FromString(data) == expected


def test_the_header_follows_term_and_revision(encoder: ReplyEncoder, machine: Machine) -> None:
    encoder.at(4, 2**40)
    data = encoder.encode(K.PAUSE_QUEUE, None, Done(1), StateLookup(machine.state))
    header = task_pb2.PauseQueueResponse.FromString(data).header
    assert (header.term, header.revision) == (4, 2**40)
    assert encoder.header() == header


def test_a_long_cluster_id_has_a_long_length(machine: Machine) -> None:
    encoder = ReplyEncoder("c" * 300, "n1", 1, 2)
    encoder.at(1, 1)
    data = encoder.with_header(task_pb2.RedriveResponse(redriven=5))
    response = task_pb2.RedriveResponse.FromString(data)
    assert (response.header.cluster_id, response.redriven) == ("c" * 300, 5)


def test_a_claim_shows_what_the_worker_needs(encoder: ReplyEncoder, machine: Machine) -> None:
    session = opened(machine)
    spec = TaskSpec("q", b"p", 4, type="count", labels={"a": "1"}, attempt_timeout_ms=700)
    run(machine, SubmitTasks([spec, TaskSpec("q", b"p2")]))
    claim = ClaimTasks(("q",), 2, 500, "w")
    reply = run(machine, claim, session)
    assert isinstance(reply, Claimed)
    (first, token, _, _), (second, other, _, _) = reply.tasks
    lookup = StateLookup(machine.state)
    got = task_pb2.ClaimResponse.FromString(encoder.encode(K.CLAIM_TASKS, claim, reply, lookup))
    assert got == task_pb2.ClaimResponse(
        header=HEADER,
        tasks=[
            task_pb2.ClaimedTask(
                task_id=first,
                queue="q",
                type="count",
                payload=b"p",
                fencing_token=token,
                attempt=1,
                max_attempts=3,
                lease_ttl_ms=500,
                priority=4,
                labels={"a": "1"},
                attempt_timeout_ms=700,
            ),
            task_pb2.ClaimedTask(
                task_id=second,
                queue="q",
                payload=b"p2",
                fencing_token=other,
                attempt=1,
                max_attempts=3,
                lease_ttl_ms=500,
            ),
        ],
    )
    run(machine, CompleteTasks([CompleteItem(first, token, b"done")]))
    again = encoder.encode(K.CLAIM_TASKS, claim, reply, lookup)
    assert [task.task_id for task in task_pb2.ClaimResponse.FromString(again).tasks] == [second]


def test_locks_show_who_holds_them(encoder: ReplyEncoder, machine: Machine) -> None:
    one, two = opened(machine), opened(machine)
    acquire = AcquireLock("l", "h", 900, 5_000)
    held = run(machine, acquire, one)
    assert isinstance(held, LockReply)
    queued = run(machine, acquire, two)
    lookup = StateLookup(machine.state)
    got = lock_pb2.AcquireLockResponse.FromString(
        encoder.encode(K.ACQUIRE_LOCK, acquire, queued, lookup)
    )
    assert not got.acquired
    assert (got.lock.session_id, got.lock.fencing_token) == (one, held.fencing_token)
    assert (got.lock.waiter_count, list(got.lock.waiters)) == (1, [])
    refresh = RefreshLock("l", held.fencing_token)
    reply = run(machine, refresh, one)
    data = encoder.encode(K.REFRESH_LOCK, refresh, reply, lookup)
    assert lock_pb2.RefreshLockResponse.FromString(data).ttl_ms == 900
    assert lookup.lock_ttl_ms("free") == 0


# ---- etcd

KV = KeyValue(b"k", b"v", 2, 3, 4, 5)
KV_MESSAGE = kv_pb.KeyValue(
    key=b"k", value=b"v", create_revision=2, mod_revision=3, version=4, lease=5
)


@pytest.mark.parametrize(
    ("kind", "reply", "expected"),
    [
        (K.KV_PUT, KvPutReply(None, 9), etcd.PutResponse(header=etcd_header(9))),
        (
            K.KV_PUT,
            KvPutReply(KV, 9),
            etcd.PutResponse(header=etcd_header(9), prev_kv=KV_MESSAGE),
        ),
        (
            K.KV_DELETE,
            KvDeleteReply(2, (KV, KV), 9),
            etcd.DeleteRangeResponse(
                header=etcd_header(9), deleted=2, prev_kvs=[KV_MESSAGE, KV_MESSAGE]
            ),
        ),
        (K.KV_COMPACT, Done(9), etcd.CompactionResponse(header=etcd_header(9))),
        (
            K.KV_TXN,
            KvTxnReply(
                True,
                (
                    KvRangeReply((KV,), True, 7, 8),
                    KvPutReply(None, 9),
                    KvDeleteReply(0, (), 9),
                    KvTxnReply(False, (), 9),
                ),
                9,
            ),
            etcd.TxnResponse(
                header=etcd_header(9),
                succeeded=True,
                responses=[
                    etcd.ResponseOp(
                        response_range=etcd.RangeResponse(
                            header=etcd.ResponseHeader(revision=8),
                            kvs=[KV_MESSAGE],
                            more=True,
                            count=7,
                        )
                    ),
                    etcd.ResponseOp(
                        response_put=etcd.PutResponse(header=etcd.ResponseHeader(revision=9))
                    ),
                    etcd.ResponseOp(
                        response_delete_range=etcd.DeleteRangeResponse(
                            header=etcd.ResponseHeader(revision=9)
                        )
                    ),
                    etcd.ResponseOp(response_txn=etcd.TxnResponse(header=etcd.ResponseHeader())),
                ],
            ),
        ),
    ],
)
def test_etcd_replies(
    encoder: ReplyEncoder, machine: Machine, kind: K, reply: Any, expected: Any
) -> None:
    data = encoder.encode(kind, None, reply, StateLookup(machine.state))
    assert type(expected).FromString(data) == expected


def test_etcd_range(encoder: ReplyEncoder) -> None:
    data = b"".join(encoder.range_parts(KvRangeReply((KV,), True, 7, 8)))
    assert etcd.RangeResponse.FromString(data) == etcd.RangeResponse(
        header=etcd_header(8), kvs=[KV_MESSAGE], more=True, count=7
    )
