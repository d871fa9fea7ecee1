"""Requests to commands."""

from __future__ import annotations

import typing

import pytest

from coord.codec.commands import decode, decode_request
from coord.codec.errors import DecodeError, UnknownCommandError
from coord.codec.kinds import COMMAND_CLASS, ETCD_KINDS, REQUEST_CLASS, CommandKind
from coord.codec.kv import range_of
from coord.core.base.limits import LIMITS
from coord.core.batch import Command
from coord.core.kv.commands import KvRange
from coord.core.sessions.commands import OpenSession
from coord.core.tasks.commands import RedriveQueue
from coord.pb import etcd_rpc_pb2 as etcd
from tests.support.codec_samples import IDENTITY, RANGE, RANGE_VALUE, SAMPLES, raw

WITHOUT_HEADER = {
    *ETCD_KINDS,
    CommandKind.RAISE_LEVEL,
    CommandKind.SET_QUOTA,
    CommandKind.OPEN_SESSION,
    CommandKind.KEEP_ALIVE,
    CommandKind.CLOSE_SESSION,
}


def test_kinds_cover_every_command_exactly_once() -> None:
    assert set(COMMAND_CLASS) == set(REQUEST_CLASS) == set(CommandKind) == set(SAMPLES)
    assert sorted(t.__name__ for t in COMMAND_CLASS.values()) == sorted(
        t.__name__ for t in typing.get_args(Command)
    )


def test_numbers_are_for_ever() -> None:
    assert {kind.name: kind.value for kind in CommandKind} == {
        "OPEN_SESSION": 1,
        "KEEP_ALIVE": 2,
        "CLOSE_SESSION": 3,
        "SUBMIT_TASKS": 10,
        "CLAIM_TASKS": 11,
        "HEARTBEAT_TASKS": 12,
        "COMPLETE_TASKS": 13,
        "FAIL_TASKS": 14,
        "RELEASE_TASKS": 15,
        "CANCEL_TASK": 16,
        "RETRY_TASK": 17,
        "REDRIVE_QUEUE": 18,
        "PAUSE_QUEUE": 19,
        "SET_QUEUE": 20,
        "DELETE_QUEUE": 21,
        "SET_QUOTA": 22,
        "ACQUIRE_LOCK": 30,
        "RELEASE_LOCK": 31,
        "REFRESH_LOCK": 32,
        "CANCEL_LOCK_WAIT": 33,
        "KV_PUT": 50,
        "KV_DELETE": 51,
        "KV_TXN": 52,
        "KV_COMPACT": 53,
        "RAISE_LEVEL": 70,
    }


@pytest.mark.parametrize("kind", CommandKind, ids=lambda kind: kind.name)
def test_every_field_arrives(kind: CommandKind) -> None:
    command = decode(kind, raw(kind))
    assert command == SAMPLES[kind][1]
    assert type(command) is COMMAND_CLASS[kind]
    expected = None if kind in WITHOUT_HEADER else IDENTITY
    assert decode_request(kind, raw(kind)) == (command, expected)


@pytest.mark.parametrize("kind", CommandKind, ids=lambda kind: kind.name)
def test_an_empty_message_is_a_command_without_identity(kind: CommandKind) -> None:
    command, identity = decode_request(kind, b"")
    assert type(command) is COMMAND_CLASS[kind]
    assert identity is None


def test_defaults() -> None:
    assert decode(CommandKind.OPEN_SESSION, b"") == OpenSession(0, b"")
    assert decode(CommandKind.REDRIVE_QUEUE, b"") == RedriveQueue("", LIMITS.max_list_items)


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (CommandKind.SUBMIT_TASKS, b"\xff", "not a SubmitRequest: "),
        (CommandKind.SUBMIT_TASKS, b"\x12\x05ab", "not a SubmitRequest: "),
        (CommandKind.PAUSE_QUEUE, b"\x12\x01\xff", "bad UTF-8"),
        (
            CommandKind.KV_TXN,
            etcd.TxnRequest(compare=[etcd.Compare(target=9)]).SerializeToString(),  # type: ignore[arg-type]
            "a comparison of the transaction is not known: 9 is not a valid CompareTarget",
        ),
        (
            CommandKind.KV_TXN,
            etcd.TxnRequest(compare=[etcd.Compare(result=4)]).SerializeToString(),  # type: ignore[arg-type]
            "a comparison of the transaction is not known: 4 is not a valid CompareResult",
        ),
        (
            CommandKind.KV_TXN,
            etcd.TxnRequest(
                success=[etcd.RequestOp(request_range=etcd.RangeRequest(sort_order=7))]  # type: ignore[arg-type]
            ).SerializeToString(),
            "etcdserver: invalid sort option",
        ),
    ],
)
def test_malformed(kind: CommandKind, data: bytes, message: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(kind, data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [0, 4, 29, 54, -1, 10**9])
def test_an_unknown_kind(kind: int) -> None:
    with pytest.raises(UnknownCommandError, match=f"kind {kind} is not known"):
        decode(kind, b"")


def test_range_requests() -> None:
    assert range_of(RANGE) == RANGE_VALUE
    assert range_of(etcd.RangeRequest()) == KvRange(b"")
    with pytest.raises(DecodeError, match="invalid sort option"):
        range_of(etcd.RangeRequest(sort_target=5))  # type: ignore[arg-type]
