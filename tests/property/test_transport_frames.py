"""Frames survive any cutting of the stream, and no bytes make the reader fail otherwise than by
FrameError."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from coord.replication.peers.frames import PING, FrameError, FrameReader, frame_header, pack, unpack
from coord.replication.peers.handshake import RefusedError, check_answer, decode_hello

MESSAGES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(1, 30)), st.booleans())
def test_any_cutting(messages: list[object], cuts: list[int], pings: bool) -> None:
    stream = b"".join((PING if pings else b"") + frame_header(pack(m)) + pack(m) for m in messages)
    reader = FrameReader(1 << 20)
    found = []
    for size in [*cuts, max(1, len(stream))]:
        piece, stream = stream[:size], stream[size:]
        found += [bytes(payload) for payload in reader.feed(piece)]
    assert [unpack(payload) for payload in found if payload] == messages
    assert found.count(b"") == (len(messages) if pings else 0)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_arbitrary_bytes(pieces: list[bytes]) -> None:
    reader = FrameReader(30)
    with contextlib.suppress(FrameError):
        for piece in pieces:
            reader.feed(piece)


@given(st.binary(max_size=60) | MESSAGES.map(pack))
def test_arbitrary_payloads(payload: bytes) -> None:
    with contextlib.suppress(FrameError):
        unpack(payload)
    with contextlib.suppress(RefusedError):
        decode_hello(memoryview(payload))
    with contextlib.suppress(RefusedError):
        check_answer(memoryview(payload))


@given(st.binary(min_size=1, max_size=50), st.integers(0, 10**6))
def test_a_flipped_bit_never_gives_another_message(payload: bytes, position: int) -> None:
    stream = bytearray(frame_header(payload) + payload)
    bit = position % (len(stream) * 8)
    stream[bit // 8] ^= 1 << (bit % 8)
    with contextlib.suppress(FrameError):
        assert not any(FrameReader(100).feed(bytes(stream)))
