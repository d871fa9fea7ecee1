"""Snapshots of rows of any size: chunks, memory and slices stay bounded, and the first version
reads every snapshot without oversized rows."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.codec.errors import SnapshotDamagedError
from coord.codec.pieces import PieceUnpacker, pack_pieces
from coord.codec.snapshot import SnapshotEncoder, decode_snapshot
from coord.core.base.limits import LIMITS
from coord.core.base.request import RequestId
from coord.core.base.table import ViewGivenUpError
from coord.core.batch import Batch, Request
from coord.core.kv.commands import KvPut, KvRange, KvTxn
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.snapshot import StateView
from coord.journal.snapshot_format import MAX_CHUNK_BYTES
from tests.support import first_snapshot_reader
from tests.support.core_rows import read_rows
from tests.support.row_source import ListSource, NamedRow, chunks_of

MEBIBYTE = 1024 * 1024
WHOLE_ROW = 4 * MEBIBYTE
# A chunk takes rows until it has 256 KiB, so the last of them comes on top.
CHUNK_BOUND = WHOLE_ROW + MEBIBYTE
PIECE_BOUND = MEBIBYTE
SIZES = st.sampled_from([0, 1, 100, 4_096, 70_000, 262_144, MEBIBYTE])
VALUES = st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.integers(0, 255))
ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(VALUES, max_size=3).map(tuple)), max_size=40
)


def kinds(chunks: list[bytes]) -> list[int]:
    return [chunk[5] for chunk in chunks]


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_rows_of_all_documented_sizes(rows: list[NamedRow]) -> None:
    chunks = list(chunks_of(rows))
    assert list(decode_snapshot(chunks)) == rows
    assert first_snapshot_reader.read(chunks) == rows
    assert max(map(len, chunks)) <= CHUNK_BOUND


@pytest.mark.parametrize("before", [0, 1, 64, 1_000])
def test_large_values_behind_small_ones(before: int) -> None:
    """What rows were like so far says nothing of the next one."""
    rows: list[NamedRow] = [("t", (n, b"")) for n in range(before)]
    rows += [("t", (n, b"x" * LIMITS.max_value_bytes)) for n in range(130)]
    chunks = list(chunks_of(rows))
    assert max(map(len, chunks)) <= LIMITS.max_value_bytes + 300_000
    assert list(decode_snapshot(chunks)) == rows


@pytest.mark.parametrize(("size", "whole"), [(WHOLE_ROW - 16, True), (WHOLE_ROW - 15, False)])
def test_the_largest_row_that_is_written_as_a_whole(size: int, whole: bool) -> None:
    rows: list[NamedRow] = [("a", (1,)), ("b", (b"x" * size,)), ("b", (2,)), ("c", ())]
    chunks = list(chunks_of(rows))
    assert list(decode_snapshot(chunks)) == rows
    assert (3 not in kinds(chunks)) is whole
    if whole:
        assert first_snapshot_reader.read(chunks) == rows
    else:
        assert kinds(chunks) == [1, *[3] * (len(chunks) - 3), 1, 2]
        with pytest.raises(ValueError, match="kind 3"):
            first_snapshot_reader.read(chunks)


LARGE: Any = (
    1,
    b"x" * (5 * MEBIBYTE),
    "ü" * (3 * MEBIBYTE),
    tuple((n, b"key%d" % n, b"v" * 500, None, True, "t") for n in range(20_000)),
    (),
)


def test_a_row_of_any_size() -> None:
    rows: list[NamedRow] = [("a", LARGE), ("a", LARGE), ("b", (0,)), ("b", LARGE)]
    chunks = list(chunks_of(rows))
    assert max(map(len, chunks)) <= PIECE_BOUND < MAX_CHUNK_BYTES
    assert list(decode_snapshot(chunks)) == rows


def test_pieces_are_what_the_whole_would_be() -> None:
    pieces = list(pack_pieces(LARGE, 100_000))
    assert b"".join(pieces) == msgpack.packb(LARGE)
    assert max(map(len, pieces)) < 200_000
    unpacker = PieceUnpacker()
    for piece in pieces:
        unpacker.feed(piece)
    assert unpacker.value() == LARGE


@pytest.mark.parametrize("lost", [0, 1, -3, -2])
def test_a_lost_piece(lost: int) -> None:
    chunks = list(chunks_of([("a", LARGE)]))
    del chunks[lost]
    with pytest.raises(SnapshotDamagedError):
        list(decode_snapshot(chunks))


def test_a_snapshot_that_ends_within_a_row() -> None:
    first, *_, end = chunks_of([("a", LARGE)])
    for chunks in ([first], [first, end], []):
        with pytest.raises(SnapshotDamagedError):
            list(decode_snapshot(chunks))


def memory_of(action: Callable[[], Any]) -> tuple[Any, int, int]:
    """What it returns, and the bytes it took at its peak and in the end."""
    gc.collect()
    tracemalloc.start()
    try:
        result = action()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return result, peak, kept


def largest_chunk(chunks: Iterator[bytes]) -> int:
    return max(map(len, chunks))


def test_memory_while_rows_are_encoded() -> None:
    """Whatever their size, no more than a few pieces of them."""
    rows: list[NamedRow] = [("a", LARGE)]
    rows += [("b", (n, b"x" * LIMITS.max_value_bytes)) for n in range(70)]
    largest, peak, _ = memory_of(lambda: largest_chunk(chunks_of(rows)))
    assert largest <= CHUNK_BOUND
    assert peak <= 12 * MEBIBYTE


def many_kept_replies(count: int, keys: int, value_bytes: int) -> Machine:
    """`count` replies are kept that hold the same range."""
    machine = Machine()
    machine.apply(Batch(1, 1, [Request(OpenSession(60_000, b"n"))]))
    session_id = next(iter(machine.state.sessions))
    puts = [KvPut(b"key%06d" % n, b"%07d" % n + b"v" * (value_bytes - 7)) for n in range(keys)]
    machine.apply(Batch(2, 2, [Request(put) for put in puts]))
    everything = KvTxn([], [KvRange(b"k", b"l")], [])
    requests = [Request(everything, RequestId(session_id, n, 0)) for n in range(1, count + 1)]
    machine.apply(Batch(3, 3, requests))
    assert len(machine.state.replies) == count
    return machine


@pytest.mark.parametrize(("keys", "value_bytes"), [(300, 16_384), (1_500, 3_000)])
def test_replies_that_share_what_they_hold(keys: int, value_bytes: int) -> None:
    """Written out they are many times what they take in memory. Neither encoding nor restoring
    takes that much, and the restored state shares again."""
    count, reply_bytes = 3, keys * value_bytes
    machine = many_kept_replies(count, keys, value_bytes)
    encoder = SnapshotEncoder(machine.freeze())
    written = 0
    worst = 0

    def encode() -> None:
        nonlocal written, worst
        for chunk in iter(encoder.next_chunk, None):
            written, worst = written + len(chunk), max(worst, len(chunk))

    _, peak, _ = memory_of(encode)
    encoder.close()
    assert written > count * reply_bytes
    assert worst <= PIECE_BOUND
    assert peak <= 2 * reply_bytes, "one reply as a row, without its values, and a few pieces"

    encoder = SnapshotEncoder(machine.freeze())
    rows = decode_snapshot(iter(encoder.next_chunk, None))  # type: ignore[arg-type]
    restored, peak, kept = memory_of(lambda: Machine.from_rows(rows))  # type: ignore[arg-type]
    encoder.close()
    assert peak <= 6 * reply_bytes
    assert kept <= 4 * reply_bytes
    assert restored.digest() == machine.digest()
    first, *others = (reply for reply, _, _ in restored.state.replies.values())
    for other in others:
        assert other == first
        assert other.responses[0].kvs[-1] is first.responses[0].kvs[-1]  # type: ignore[union-attr]


def test_the_source_is_not_read_ahead_of_what_is_written() -> None:
    source = ListSource([("t", (n, b"x" * LIMITS.max_value_bytes)) for n in range(100)])
    encoder = SnapshotEncoder(source)
    encoder.next_chunk()
    assert sum(source.asked) <= 65


class BusyMachine:
    """A machine with the largest values, all of which are replaced while it is read."""

    def __init__(self, keys: int) -> None:
        self.machine = Machine()
        self.keys = keys
        self.put(range(keys), b"old")
        self.before = read_rows(self.machine)

    def put(self, keys: Iterable[int], mark: bytes) -> None:
        value = mark + bytes(LIMITS.max_value_bytes - len(mark))
        puts = [Request(KvPut(b"key%06d" % n, value)) for n in keys]
        self.machine.apply(Batch(1, 1, puts))


def test_values_that_are_replaced_while_they_are_written() -> None:
    busy = BusyMachine(30)
    encoder = SnapshotEncoder(busy.machine.freeze())
    chunks = []
    for n, chunk in enumerate(iter(encoder.next_chunk, None)):
        chunks.append(chunk)
        busy.put([busy.keys - 1 - n % busy.keys], b"new")
    encoder.close()
    assert list(decode_snapshot(chunks)) == busy.before
    assert max(map(len, chunks)) <= CHUNK_BOUND


def test_a_snapshot_for_which_too_much_changes_is_given_up() -> None:
    busy = BusyMachine(30)
    view = StateView(busy.machine.state, max_held_bytes=10 * MEBIBYTE)
    encoder = SnapshotEncoder(view)
    assert encoder.next_chunk() is not None
    busy.put(range(20), b"new")
    with pytest.raises(ViewGivenUpError):
        list(iter(encoder.next_chunk, None))
    encoder.close()
    busy.put(range(20), b"newer")
    again = SnapshotEncoder(busy.machine.freeze())
    chunks = list(iter(again.next_chunk, None))
    assert list(decode_snapshot(chunks)) == read_rows(busy.machine)  # type: ignore[arg-type]


def test_many_keys_that_come_in_one_place_while_it_is_written() -> None:
    """Chunks without rows say that there is more to do."""
    busy = BusyMachine(1)
    busy.machine.apply(Batch(1, 1, [Request(KvPut(b"z", b"last"))]))
    before = read_rows(busy.machine)
    encoder = SnapshotEncoder(busy.machine.freeze())
    many = [Request(KvPut(b"many%06d" % n, b"")) for n in range(9_000)]
    busy.machine.apply(Batch(2, 2, many))
    chunks = list(iter(encoder.next_chunk, None))
    encoder.close()
    assert list(decode_snapshot(chunks)) == first_snapshot_reader.read(chunks) == before
    assert sum(chunk[10:14] == bytes(4) for chunk in chunks[:-1]) > 3
