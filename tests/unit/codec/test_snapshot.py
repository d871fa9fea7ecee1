"""Snapshots: any damage is found, and a whole state survives."""

from __future__ import annotations

import struct
from zlib import crc32

import msgpack
import pytest

from coord.codec.errors import SnapshotDamagedError
from coord.codec.snapshot import SnapshotEncoder, decode_snapshot
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Request
from coord.core.kv.commands import KvDelete, KvPut, KvTxn
from coord.core.locks.commands import AcquireLock
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.tasks.commands import ClaimTasks, SubmitTasks, TaskSpec
from tests.support.row_source import ListSource, NamedRow, chunks_of

ROWS: list[NamedRow] = [
    ("meta", (1, 2, 3)),
    ("a", (1, "text", b"bytes", None, True, (1, (2, b"")))),
    ("a", (2**64 - 1, -(2**63), "", b"\xff")),
    ("b", ()),
]


def rows_of(chunks: list[bytes]) -> list[NamedRow]:
    return list(decode_snapshot(chunks))


def resealed(chunk: bytes, body: bytes | None = None, **head: int) -> bytes:
    """A chunk with other header fields or another body, and a checksum that fits them."""
    magic, version, kind, number, rows, _ = struct.unpack_from(">4sBBIII", chunk)
    body = chunk[22:] if body is None else body
    fields = {"version": version, "kind": kind, "number": number, "rows": rows} | head
    packed = struct.pack(">4sBBIII", magic, *fields.values(), len(body))
    return packed + struct.pack(">I", crc32(body, crc32(packed))) + body


def test_rows_survive() -> None:
    assert rows_of(list(chunks_of(ROWS))) == ROWS
    assert rows_of(list(chunks_of([]))) == []


def test_chunks_are_cut_near_their_target() -> None:
    rows: list[NamedRow] = [("t", (n, b"x" * 1_000)) for n in range(2_000)]
    chunks = list(chunks_of(rows))
    assert rows_of(chunks) == rows
    assert 7 < len(chunks) < 12
    assert all(256 * 1024 <= len(chunk) < 260 * 1024 for chunk in chunks[:-2])


def test_large_rows_do_not_pile_up_in_one_chunk() -> None:
    rows: list[NamedRow] = [("t", (n, b"x" * 1_048_576)) for n in range(4)]
    chunks = list(chunks_of(rows))
    assert rows_of(chunks) == rows
    assert len(chunks) == 5


def test_the_source_is_asked_for_what_fits() -> None:
    source = ListSource([("t", (b"x" * 100_000,))] * 10)
    encoder = SnapshotEncoder(source)
    encoder.next_chunk()
    assert source.asked == [1, 1, 1]


def test_closing_ends_it() -> None:
    source = ListSource(ROWS)
    encoder = SnapshotEncoder(source)
    encoder.close()
    encoder.close()
    assert source.closed == 2
    assert encoder.next_chunk() is None


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_lost_chunk(lost: int) -> None:
    chunks = list(chunks_of([("t", (n, b"x" * 200_000)) for n in range(6)]))
    assert len(chunks) == 4
    del chunks[lost]
    with pytest.raises(SnapshotDamagedError):
        rows_of(chunks)


def test_order_and_repeats() -> None:
    first, second, third, end = chunks_of([("t", (n, b"x" * 200_000)) for n in range(6)])
    for wrong in (
        [second, first, third, end],
        [first, first, second, third, end],
        [first, second, third, end, end],
        [end],
        [],
    ):
        with pytest.raises(SnapshotDamagedError):
            rows_of(wrong)


def test_chunks_of_two_snapshots_do_not_mix() -> None:
    old, new = (list(chunks_of([("t", (n, b"x" * 300_000, m)) for n in range(2)])) for m in (1, 2))
    with pytest.raises(SnapshotDamagedError, match="does not hold the rows that its end counts"):
        rows_of([old[0], *new[1:]])


def test_every_truncation_is_found() -> None:
    chunks = list(chunks_of(ROWS))
    for at, chunk in enumerate(chunks):
        for size in range(len(chunk)):
            with pytest.raises(SnapshotDamagedError):
                rows_of([*chunks[:at], chunk[:size], *chunks[at + 1 :]])
            with pytest.raises(SnapshotDamagedError):
                rows_of([*chunks[:at], chunk[:size]])


def test_every_flipped_bit_is_found() -> None:
    chunks = list(chunks_of(ROWS))
    for at, chunk in enumerate(chunks):
        for bit in range(len(chunk) * 8):
            damaged = bytearray(chunk)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(SnapshotDamagedError):
                rows_of([*chunks[:at], bytes(damaged), *chunks[at + 1 :]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "format 2"),
        ({"kind": 4}, "kind 4"),
        ({"kind": 3}, "chunk 0 is a piece of 4 rows"),
        ({"kind": 3, "rows": 0}, "chunk 1 stands within a row of several"),
        ({"kind": 3, "rows": 1}, "its pieces are not those of one row"),
        ({"kind": 3, "rows": 1, "body": b"\x92\x01"}, "its pieces are not those of one row"),
        ({"kind": 3, "rows": 1, "body": b"\x01\x02"}, "its pieces are not those of one row"),
        ({"kind": 3, "rows": 1, "body": b"\xc1"}, "is not msgpack"),
        ({"kind": 3, "rows": 1, "body": b"\x01"}, "not rows"),
        ({"kind": 3, "rows": 1, "body": msgpack.packb(["t"])}, "ends 0 rows, not 1"),
        ({"number": 1}, "chunk 0 is missing"),
        ({"rows": 9}, "holds 4 rows, not 9"),
        ({"body": b"\xc1"}, "is not msgpack"),
        ({"body": b"\x93\x01\x02"}, "cut off within a row"),
        ({"body": b"\x07"}, "not rows"),
        ({"body": b"\x90"}, "not rows"),
        ({"body": b"\x91\x07"}, "not rows"),
        ({"body": msgpack.packb(["t", 5])}, "not rows"),
        ({"body": b"\x91" * 5_000 + b"\x00"}, "is not msgpack"),
    ],
)
def test_a_chunk_with_a_right_checksum_and_wrong_content(
    change: dict[str, object], message: str
) -> None:
    chunks = list(chunks_of(ROWS))
    chunks[0] = resealed(chunks[0], **change)  # type: ignore[arg-type]
    with pytest.raises(SnapshotDamagedError, match=message):
        rows_of(chunks)


def test_a_row_cut_off_behind_all_that_were_counted() -> None:
    chunks = list(chunks_of(ROWS))
    chunks[0] = resealed(chunks[0], chunks[0][22:] + b"\x93\x01\x02")
    with pytest.raises(SnapshotDamagedError, match="cut off within a row"):
        rows_of(chunks)


def test_a_whole_machine_survives() -> None:
    machine = Machine()
    requests: list[Command] = [
        OpenSession(5_000, b"n", "worker", "w", {"a": "1"}, ("q",), 2),
        SubmitTasks([TaskSpec("q", b"p" * n, labels={"k": "v"}) for n in range(50)]),
        KvPut(b"k", b"1"),
        KvPut(b"k", b"2"),
        KvTxn([], [KvPut(b"l", b""), KvDelete(b"k")], []),
    ]
    machine.apply(Batch(1_000, 2_000, [Request(command) for command in requests]))
    identified = [
        Request(command, RequestId(1, sequence, 1))
        for sequence, command in enumerate(
            [ClaimTasks(("q",), 5, 500), AcquireLock("l", "h", 0, 0), KvDelete(b"l")], 1
        )
    ]
    machine.apply(Batch(1_001, 2_000, identified))
    encoder = SnapshotEncoder(machine.freeze())
    chunks = list(iter(encoder.next_chunk, None))
    encoder.close()
    restored = Machine.from_rows(decode_snapshot(chunks))  # type: ignore[arg-type]
    assert restored.digest() == machine.digest()
    assert (restored.revision, restored.now_ms) == (machine.revision, machine.now_ms)
    more = Batch(9_000, 9_000, [Request(KvPut(b"z", b""))])
    assert restored.apply(more) == machine.apply(more)
    assert restored.digest() == machine.digest()
