"""What a frame from a peer becomes in memory is bounded, whatever it claims."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable

import msgpack
import pytest

from coord.replication.engine_journal import MAX_BATCH_ENTRIES
from coord.replication.entry_kinds import MEMBERS
from coord.replication.membership import MAX_ENCODED_BYTES, decode_members, encode_members
from coord.replication.messages import InvalidMessageError, check_message
from coord.replication.peers.frames import (
    MAX_ELEMENTS,
    MAX_ENTRIES,
    SMALL_BYTES,
    FrameError,
    pack,
    unpack,
)
from coord.replication.peers.handshake import MAX_HANDSHAKE_BYTES, RefusedError, decode_hello
from coord.replication.port import Member

FRAME_BYTES = 16 * 1024 * 1024
ROOM_BYTES = 160 * 1024 * 1024  # what a frame may take at most, itself included


def array32(count: int) -> bytes:
    return b"\xdd" + struct.pack(">I", count)


def map32(count: int) -> bytes:
    return b"\xdf" + struct.pack(">I", count)


def tree(leaf: bytes, width: int, leaves: int) -> bytes:
    """Lists of `width`, one in another, with so many leaves at the end of all."""
    piece, count = leaf, 1
    while count < leaves:
        piece, count = bytes([0xDC]) + struct.pack(">H", width) + piece * width, count * width
    return piece


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty lists": lambda: array32(FRAME_BYTES) + b"\x90" * FRAME_BYTES,
    "empty maps": lambda: array32(FRAME_BYTES) + b"\x80" * FRAME_BYTES,
    "nothing": lambda: array32(FRAME_BYTES) + b"\xc0" * FRAME_BYTES,
    "short texts": lambda: array32(FRAME_BYTES // 4) + b"\xa3abc" * (FRAME_BYTES // 4),
    "numbers": lambda: array32(FRAME_BYTES // 3) + b"\xcd\x7f\xff" * (FRAME_BYTES // 3),
    "extensions": lambda: array32(FRAME_BYTES // 3) + b"\xc7\x00\x01" * (FRAME_BYTES // 3),
    "narrow lists of lists": lambda: tree(b"\x90", 64, FRAME_BYTES // 2),
    "narrow lists of maps": lambda: tree(b"\x80", 64, FRAME_BYTES // 2),
    "lists in lists that claim to be long": lambda: array32(2**20) * 1000 + b"\xc0" * FRAME_BYTES,
    "a map that claims to be long": lambda: map32(2**31) + b"\xc0" * FRAME_BYTES,
    "entries of nothing": lambda: (
        b"\x81" + pack("entries") + array32(FRAME_BYTES) + b"\x90" * FRAME_BYTES
    ),
    "entries of trees": lambda: (
        b"\x81" + pack("entries") + array32(64) + tree(b"\x90", 64, 2**18) * 64
    ),
    "many fields": lambda: map32(64) + (pack("f") + tree(b"\x90", 64, 2**18)) * 64,
    "a small frame of long lists": lambda: array32(2000) * 1000 + b"\xc0" * 3000,
    "a small frame of empty lists": lambda: array32(8000) + b"\x90" * 8000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_frame_is_refused_and_takes_little(kind: str) -> None:
    """Of 60 MB of empty lists 4.4 GB were made."""
    payload = HOSTILE[kind]()
    tracemalloc.start()
    try:
        with pytest.raises(FrameError):
            unpack(memoryview(payload))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (ROOM_BYTES if len(payload) > SMALL_BYTES else 24 * 1024 * 1024)


@pytest.mark.parametrize(
    "payload",
    [
        array32(2000) * 800,
        array32(4000) + b"\x90" * 4000,
        map32(33) + b"".join(pack(f"k{n}") + b"\xc0" for n in range(33)),
        b"\x91" * 4000,
    ],
)
def test_a_handshake_stays_small(payload: bytes) -> None:
    assert len(payload) <= MAX_HANDSHAKE_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError):
            decode_hello(memoryview(payload))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 1024 * 1024


def entries(count: int, command: bytes = b"\x01") -> dict[str, object]:
    return {"type": "append", "entries": [[7, command]] * count, "commit": 1}


@pytest.mark.parametrize("count", [0, 1, 1_000, MAX_BATCH_ENTRIES, MAX_ENTRIES])
def test_entries_are_taken_up_to_the_bound(count: int) -> None:
    message = entries(count)
    assert unpack(pack(message)) == message


def test_one_entry_more_is_refused() -> None:
    with pytest.raises(FrameError, match=f"{MAX_ENTRIES} at most"):
        unpack(pack(entries(MAX_ENTRIES + 1)))
    assert 3 * MAX_ENTRIES <= MAX_ELEMENTS, "the bound on all elements does not come first"


@pytest.mark.parametrize("size", [SMALL_BYTES - 40, SMALL_BYTES + 40, 3_000_000])
def test_large_messages_of_any_shape_arrive(size: int) -> None:
    blob = b"x" * size
    for message in (blob, [1, blob], {"data": blob, "index": 5}, entries(3, blob)):
        assert unpack(pack(message)) == message


@pytest.mark.parametrize("size", [10, SMALL_BYTES * 2])
def test_bytes_behind_a_message_and_odd_names_are_refused(size: int) -> None:
    for payload in (
        pack({"data": b"x" * size}) + b"\x01",
        pack([b"x" * size]) + b"\x01",
        pack({"data": b"x" * size})[:-1],
        b"\x81" + pack(7) + pack(b"x" * size),
        b"\x81" + pack(["list"]) + pack(b"x" * size),
        b"\x92" + pack(b"x" * size) + b"\xd4\x01\x00",
        b"\x82" + pack("data") + pack(b"x" * size) + b"\xc1",
    ):
        with pytest.raises(FrameError):
            unpack(payload)


def test_members_in_a_message_are_bounded_as_well() -> None:
    longest = [Member(f"{n}" + "ä" * 511, "ä" * 512, "ä" * 512) for n in range(9)]
    assert len(encode_members(longest)) <= MAX_ENCODED_BYTES
    assert len(decode_members(encode_members(longest))) == 9
    for hostile in (
        b"\x90" * (MAX_ENCODED_BYTES + 1),
        array32(MAX_ENCODED_BYTES - 10) + b"\x90" * (MAX_ENCODED_BYTES - 10),
        array32(9) * 500,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="members"):
                decode_members(hostile)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1024 * 1024


@pytest.mark.parametrize("members", [b"", b"\x90", b"\xc1", b"\x91\x90"])
def test_an_entry_with_malformed_members_is_refused_before_it_is_in_the_log(
    members: bytes,
) -> None:
    """It would stop every node that has it, at every start."""
    append = {
        **entries(1, MEMBERS + members),
        "term": 7,
        "boot": 1,
        "number": 1,
        "append": 1,
        "read": 0,
        "prev_index": 1,
        "prev_term": 0,
    }
    with pytest.raises(InvalidMessageError, match="bad entries"):
        check_message(append)
    (member,) = (Member("n1", "h:1", "h:2"),)
    append["entries"] = [[7, MEMBERS + encode_members([member])]]
    check_message(append)


def test_msgpack_is_the_compiled_one() -> None:
    """The other one is too slow for a node, and counts otherwise."""
    assert "fallback" not in msgpack.Unpacker.__module__
