"""A request that stands for very many parts is refused before they are made into objects."""

from __future__ import annotations

import pytest

from bench.bounds.cases import CASES, Case
from bench.bounds.world import World
from coord.codec import commands
from coord.codec.commands import decode_request
from coord.codec.errors import DecodeError, TooManyPartsError
from coord.codec.kinds import CommandKind
from coord.codec.shape import MAX_PARTS, check_bytes
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason
from coord.pb import etcd_rpc_pb2 as etcd
from coord.pb import session_pb2, task_pb2

K = CommandKind
EMPTY_FIELD_2 = b"\x12\x00"
MANY = 4_000_000
BOMBS: dict[str, tuple[CommandKind, bytes]] = {
    "tasks": (K.SUBMIT_TASKS, EMPTY_FIELD_2 * MANY),
    "operations": (K.KV_TXN, EMPTY_FIELD_2 * MANY),
    "queues": (K.CLAIM_TASKS, EMPTY_FIELD_2 * MANY),
    "items": (K.COMPLETE_TASKS, EMPTY_FIELD_2 * MANY),
    # In one task, in one operation.
    "labels": (K.SUBMIT_TASKS, b"\x12\xc0\x9a\x0c" + b"\x82\x01\x00" * 66_880),
    "nested operations": (K.KV_TXN, b"\x12\xc4\x9a\x0c\x22\xc0\x9a\x0c" + EMPTY_FIELD_2 * 100_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_millions_of_parts_are_not_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, raw = BOMBS[name]

    def parse(raw: bytes) -> object:
        raise AssertionError("was parsed")

    _, build, message = commands.DECODERS[kind]
    monkeypatch.setitem(commands.DECODERS, kind, (parse, build, message))
    with pytest.raises(TooManyPartsError) as raised:
        decode_request(kind, raw)
    assert raised.value.refusal.reason is Reason.TOO_LARGE
    assert dict(raised.value.refusal.metadata)["limit"] == str(MAX_PARTS)


def ops(count: int) -> list[etcd.RequestOp]:
    return [etcd.RequestOp(request_range=etcd.RangeRequest(key=b"k"))] * count


TASK = task_pb2.TaskSpec(queue="q")
ITEMS, OPS = LIMITS.max_batch_items, LIMITS.max_txn_ops
LONG = {
    "tasks": (K.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=[TASK] * (ITEMS + 1))),
    "items": (
        K.RELEASE_TASKS,
        task_pb2.ReleaseRequest(items=[task_pb2.ReleaseItem()] * (ITEMS + 1)),
    ),
    "queues": (
        K.CLAIM_TASKS,
        task_pb2.ClaimRequest(queues=["q"] * (LIMITS.max_queues_per_call + 1)),
    ),
    "labels": (
        K.OPEN_SESSION,
        session_pb2.OpenSessionRequest(
            labels={str(number): "" for number in range(LIMITS.max_labels + 1)}
        ),
    ),
    "success": (K.KV_TXN, etcd.TxnRequest(success=ops(OPS + 1))),
    "failure": (K.KV_TXN, etcd.TxnRequest(failure=ops(OPS + 1))),
    "compare": (K.KV_TXN, etcd.TxnRequest(compare=[etcd.Compare(key=b"k")] * (OPS + 1))),
}


@pytest.mark.parametrize("name", LONG)
def test_a_list_that_is_too_long_is_refused_before_its_items_are_decoded(name: str) -> None:
    kind, message = LONG[name]
    with pytest.raises(TooManyPartsError) as raised:
        decode_request(kind, message.SerializeToString())
    assert raised.value.refusal.reason is Reason.TOO_LARGE


@pytest.fixture(scope="module")
def world() -> World:
    return World(10)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_allowed_passes(world: World, case: Case) -> None:
    decode_request(case.kind, case.make(world, 0).SerializeToString())


def test_bytes_that_are_no_message_are_left_to_the_parser() -> None:
    for raw in (b"\xff" * 40_000, b"\x12" + b"\xff" * 40_000, b"\x07" * 40_000):
        check_bytes(K.SUBMIT_TASKS, raw)
        with pytest.raises(DecodeError, match="not a SubmitRequest"):
            decode_request(K.SUBMIT_TASKS, raw)


def test_a_large_payload_is_one_part() -> None:
    task = task_pb2.TaskSpec(queue="q", payload=EMPTY_FIELD_2 * 500_000)
    decode_request(K.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=[task]).SerializeToString())
