"""Whatever the bytes: round trips are exact, and nothing but the declared errors comes out."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from google.protobuf.message import DecodeError as ProtobufDecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec.commands import decode, decode_request
from coord.codec.envelope import EnvelopeItem, decode_envelope, encode_envelope, to_batch
from coord.codec.errors import (
    CodecError,
    DecodeError,
    SnapshotDamagedError,
    UnknownCommandError,
)
from coord.codec.kinds import CommandKind
from coord.codec.kv import range_of
from coord.codec.snapshot import decode_snapshot
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.limits import LIMITS
from coord.core.kv.bounds import validate_range
from coord.core.validate import validate, validate_request_id
from coord.pb import etcd_rpc_pb2
from tests.support.codec_samples import raw
from tests.support.row_source import NamedRow, chunks_of

kinds = st.sampled_from(CommandKind)
uint64 = st.integers(0, 2**64 - 1)
items = st.builds(
    EnvelopeItem,
    kind=st.integers(0, 2**31),
    principal=st.text(max_size=8),
    session_id=uint64,
    sequence=uint64,
    acked_below=uint64,
    raw=st.binary(max_size=40),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=6)
    | st.binary(max_size=12),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=8,
)
rows: st.SearchStrategy[list[NamedRow]] = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(values, max_size=4).map(tuple)), max_size=12
)


@st.composite
def mangled(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes that were valid, with a few of them changed, gone or added."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(out)))
        match draw(st.integers(0, 2)):
            case 0:
                out[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del out[at : at + draw(st.integers(1, 4))]
            case _:
                out[at:at] = draw(st.binary(max_size=4))
    return bytes(out)


@settings(deadline=None)
@given(uint64, uint64, st.lists(items, max_size=6))
def test_envelopes_survive(now_ms: int, wall_ms: int, requests: list[EnvelopeItem]) -> None:
    envelope = decode_envelope(encode_envelope(now_ms, wall_ms, requests))
    assert (envelope.now_ms, envelope.wall_ms) == (now_ms, wall_ms)
    assert list(envelope.items) == requests


@settings(deadline=None)
@given(kinds, st.data())
def test_any_request_bytes_give_a_command_or_a_decode_error(
    kind: CommandKind, data: st.DataObject
) -> None:
    request = data.draw(st.one_of(st.binary(max_size=60), mangled(raw(kind))))
    try:
        command, identity = decode_request(kind, request)
    except DecodeError:
        with pytest.raises(DecodeError):
            decode(kind, request)
        return
    except UnknownCommandError:
        assert kind is CommandKind.RAISE_LEVEL  # to a level that this build does not know
        return
    assert repr(decode(kind, request)) == repr(command)
    validate(command)
    validate_request_id(identity)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_range_bytes_give_a_range_or_a_decode_error(request: bytes) -> None:
    with contextlib.suppress(DecodeError, ProtobufDecodeError):
        validate_range(range_of(etcd_rpc_pb2.RangeRequest.FromString(request)), HIGHEST_LEVEL)


ENTRY = encode_envelope(1, 2, [EnvelopeItem(int(k), "p", 1, 2, 1, raw(k)) for k in CommandKind])


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=80), mangled(ENTRY)))
def test_any_entry_bytes_give_a_batch_or_a_codec_error(data: bytes) -> None:
    with contextlib.suppress(CodecError):
        to_batch(data)


def test_every_truncation_of_an_entry_is_found() -> None:
    for size in range(len(ENTRY)):
        with pytest.raises(DecodeError):
            to_batch(ENTRY[:size])


@settings(deadline=None)
@given(rows)
def test_snapshots_survive(table_rows: list[NamedRow]) -> None:
    assert list(decode_snapshot(chunks_of(table_rows))) == table_rows


@settings(deadline=None)
@given(rows, st.data())
def test_a_changed_snapshot_is_found(table_rows: list[NamedRow], data: st.DataObject) -> None:
    chunks = list(chunks_of(table_rows))
    at = data.draw(st.integers(0, len(chunks) - 1))
    changed = data.draw(mangled(chunks[at]))
    if changed == chunks[at]:
        return
    with pytest.raises(SnapshotDamagedError):
        list(decode_snapshot([*chunks[:at], changed, *chunks[at + 1 :]]))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=4))
def test_any_chunks_are_damaged(chunks: list[bytes]) -> None:
    with pytest.raises(SnapshotDamagedError):
        list(decode_snapshot(chunks))


@pytest.mark.parametrize(
    "size", [LIMITS.max_payload_bytes - 1, LIMITS.max_payload_bytes, LIMITS.max_payload_bytes + 1]
)
def test_the_largest_requests_survive(size: int) -> None:
    """Those that are too large, too: what is in an entry has to be read, and refused in apply."""
    large = [EnvelopeItem(int(kind), "", 1, 2, 1, b"r" * size) for kind in CommandKind]
    assert list(decode_envelope(encode_envelope(1, 2, large)).items) == large
    table_rows = [("a", (number, b"r" * size)) for number in range(3)]
    assert list(decode_snapshot(chunks_of(table_rows))) == table_rows
