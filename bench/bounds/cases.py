"""Every request at its documented maximum. Each case makes a request whose answer is a success; the
limits are those of `coord.core.base.limits`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.bounds.world import HOUR_MS, World, key
from coord.codec.kinds import CommandKind
from coord.core.base.limits import LIMITS
from coord.pb import etcd_rpc_pb2 as pb
from coord.pb import task_pb2

K = CommandKind
ITEMS = LIMITS.max_batch_items
OPS = LIMITS.max_txn_ops
NESTED = OPS // 5  # each of them counts itself and two operations in each branch
PAST = LIMITS.max_txn_rows // 16
WRITES = LIMITS.max_txn_rows // LIMITS.row_weight_written


@dataclass(frozen=True, slots=True)
class Case:
    """`make` prepares the world for repetition `n` and returns the request."""

    name: str
    kind: CommandKind
    make: Callable[[World, int], Any]


def _submit_plain(world: World, n: int) -> Any:
    return task_pb2.SubmitRequest(
        tasks=[task_pb2.TaskSpec(queue="plain", payload=b"p" * 100) for _ in range(ITEMS)]
    )


def _submit_labelled(world: World, n: int) -> Any:
    """Every number of its own, and every label that is allowed."""
    request = _submit_full(n)
    for number, spec in enumerate(request.tasks):
        spec.labels[f"label{number}"] = "v" * 100
    return request


def _submit_keyed(world: World, n: int) -> Any:
    """Every number of its own, and every idempotency key that is allowed."""
    request = _submit_full(n)
    for number, spec in enumerate(request.tasks):
        spec.idempotency_key = f"{n}-{number}-".ljust(250, "k")
    return request


def _submit_full(n: int) -> Any:
    return task_pb2.SubmitRequest(
        tasks=[
            task_pb2.TaskSpec(
                queue=f"full{number % 50}",
                payload=b"p" * 100,
                type=f"type{number % 9}",
                priority=number % 7,
                delay_ms=HOUR_MS,
                max_attempts=7,
                backoff_initial_ms=10 + number,
                attempt_timeout_ms=HOUR_MS,
                total_timeout_ms=HOUR_MS,
                retention_ms=60_000,
            )
            for number in range(min(ITEMS, LIMITS.max_batch_labels))
        ]
    )


def _submit_labels(world: World, n: int) -> Any:
    each = LIMITS.max_labels
    return task_pb2.SubmitRequest(
        tasks=[
            task_pb2.TaskSpec(
                queue="labels",
                labels={
                    f"{n}-{number}-{label}".ljust(250, "k"): "v" * 256 for label in range(each)
                },
            )
            for number in range(LIMITS.max_batch_labels // each)
        ]
    )


def _submit_bytes(world: World, n: int) -> Any:
    payload = bytes(LIMITS.max_payload_bytes)
    return task_pb2.SubmitRequest(
        tasks=[task_pb2.TaskSpec(queue="bytes", payload=payload) for _ in range(7)]
    )


def _claim(world: World, n: int) -> Any:
    queue = f"claim{n}"
    tasks = [task_pb2.TaskSpec(queue=queue, payload=b"p" * 100) for _ in range(ITEMS)]
    world.run(K.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=tasks))
    return task_pb2.ClaimRequest(queues=[queue], max_tasks=ITEMS, lease_ttl_ms=HOUR_MS)


def _heartbeat(world: World, n: int) -> Any:
    return task_pb2.HeartbeatRequest(
        items=[
            task_pb2.HeartbeatItem(
                task_id=task_id, fencing_token=token, checkpoint=b"c" * 1_000, progress_permille=5
            )
            for task_id, token in world.claimed(ITEMS)
        ]
    )


def _complete(world: World, n: int) -> Any:
    return task_pb2.CompleteRequest(
        items=[
            task_pb2.CompleteItem(task_id=task_id, fencing_token=token, result=b"r" * 1_000)
            for task_id, token in world.claimed(ITEMS)
        ]
    )


def _fail(world: World, n: int) -> Any:
    return task_pb2.FailRequest(
        items=[
            task_pb2.FailItem(
                task_id=task_id, fencing_token=token, error="e" * 1_000, retryable=True
            )
            for task_id, token in world.claimed(ITEMS)
        ]
    )


def _release(world: World, n: int) -> Any:
    return task_pb2.ReleaseRequest(
        items=[
            task_pb2.ReleaseItem(task_id=task_id, fencing_token=token)
            for task_id, token in world.claimed(ITEMS)
        ]
    )


def _redrive(world: World, n: int) -> Any:
    queue = f"dead{n}"
    for _ in range(LIMITS.max_list_items // ITEMS):
        failed = [
            task_pb2.FailItem(task_id=task_id, fencing_token=token, retryable=False)
            for task_id, token in world.claimed(ITEMS, queue)
        ]
        world.run(K.FAIL_TASKS, task_pb2.FailRequest(items=failed))
    return task_pb2.RedriveRequest(queue=queue, limit=LIMITS.max_list_items)


def _put(world: World, n: int) -> Any:
    return pb.PutRequest(key=b"big", value=bytes(LIMITS.max_value_bytes), prev_kv=True)


def _delete(world: World, n: int) -> Any:
    first = n * WRITES
    return pb.DeleteRangeRequest(key=key(first), range_end=key(first + WRITES), prev_kv=True)


def _compares(world: World) -> list[pb.Compare]:
    return [
        pb.Compare(key=key(number), target=pb.Compare.MOD, result=pb.Compare.GREATER)
        for number in range(OPS)
    ]


def _txn_puts(world: World, n: int) -> Any:
    puts = [
        pb.RequestOp(request_put=pb.PutRequest(key=b"txn/%d/%d" % (n, number), value=b"v" * 100))
        for number in range(OPS)
    ]
    return pb.TxnRequest(compare=_compares(world), success=puts, failure=puts)


def _txn_over(world: World, n: int) -> Any:
    """Over keys that are there, with what was there in the answer."""
    puts = [
        pb.RequestOp(request_put=pb.PutRequest(key=key(number * 7), value=b"n" * 100, prev_kv=True))
        for number in range(OPS)
    ]
    return pb.TxnRequest(compare=_compares(world), success=puts, failure=puts)


def _txn_ranges(world: World, n: int) -> Any:
    """Small ranges of the past, sorted by value: what costs most for each row. Each of them looks
    at the keys and at their history."""
    revision = world.machine.state.kv.compacted + 1
    ranges = [_range(number * 5, 3, sort_target=pb.RangeRequest.VALUE) for number in range(PAST)]
    for one in ranges:
        one.request_range.revision = revision
        one.request_range.limit = 1
    return pb.TxnRequest(success=ranges, failure=ranges)


def _txn_range(world: World, n: int) -> Any:
    rows = LIMITS.max_txn_rows
    return pb.TxnRequest(success=[_range(0, rows, sort_target=pb.RangeRequest.VALUE)])


def _txn_compare(world: World, n: int) -> Any:
    low, high = key(WRITES * 20), key(WRITES * 20 + LIMITS.max_txn_rows - 1)
    compare = pb.Compare(
        key=low, range_end=high, target=pb.Compare.VALUE, result=pb.Compare.NOT_EQUAL, value=b"z"
    )
    return pb.TxnRequest(compare=[compare], success=[_range(0, 1)])


def _txn_nested(world: World, n: int) -> Any:
    """Many small transactions, each putting and deleting in both branches."""
    ops = []
    for number in range(NESTED):
        name = b"nest/%d/%d" % (n, number)
        branch = [
            pb.RequestOp(request_put=pb.PutRequest(key=name, value=b"v")),
            pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=name + b"/x")),
        ]
        ops.append(pb.RequestOp(request_txn=pb.TxnRequest(success=branch, failure=branch)))
    return pb.TxnRequest(success=ops, failure=ops)


def _range(first: int, rows: int, **fields: Any) -> pb.RequestOp:
    request = pb.RangeRequest(key=key(first), range_end=key(first + rows), **fields)
    return pb.RequestOp(request_range=request)


CASES = (
    Case(f"submit {ITEMS:,} tasks", K.SUBMIT_TASKS, _submit_plain),
    Case(
        f"submit {min(ITEMS, LIMITS.max_batch_labels):,} tasks, all numbers and a label each",
        K.SUBMIT_TASKS,
        _submit_labelled,
    ),
    Case(
        f"submit {min(ITEMS, LIMITS.max_batch_labels):,} tasks, all numbers and a key each",
        K.SUBMIT_TASKS,
        _submit_keyed,
    ),
    Case(f"submit {LIMITS.max_batch_labels:,} long labels", K.SUBMIT_TASKS, _submit_labels),
    Case("submit 7 MiB of payloads", K.SUBMIT_TASKS, _submit_bytes),
    Case(f"claim {ITEMS:,} tasks", K.CLAIM_TASKS, _claim),
    Case(f"heartbeat {ITEMS:,} tasks with checkpoints", K.HEARTBEAT_TASKS, _heartbeat),
    Case(f"complete {ITEMS:,} tasks", K.COMPLETE_TASKS, _complete),
    Case(f"fail {ITEMS:,} tasks", K.FAIL_TASKS, _fail),
    Case(f"release {ITEMS:,} tasks", K.RELEASE_TASKS, _release),
    Case(f"redrive {LIMITS.max_list_items:,} tasks", K.REDRIVE_QUEUE, _redrive),
    Case("put the largest value", K.KV_PUT, _put),
    Case(f"delete {WRITES:,} keys", K.KV_DELETE, _delete),
    Case(f"transaction: {OPS} comparisons, {OPS} puts", K.KV_TXN, _txn_puts),
    Case(f"transaction: {OPS} comparisons, {OPS} puts over old values", K.KV_TXN, _txn_over),
    Case(f"transaction: {PAST} sorted ranges of the past", K.KV_TXN, _txn_ranges),
    Case(f"transaction: {LIMITS.max_txn_rows:,} keys sorted by value", K.KV_TXN, _txn_range),
    Case(f"transaction: a comparison of {LIMITS.max_txn_rows - 1:,} keys", K.KV_TXN, _txn_compare),
    Case(f"transaction: {NESTED} nested", K.KV_TXN, _txn_nested),
)
