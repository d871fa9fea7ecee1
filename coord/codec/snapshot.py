"""The rows of a state <-> chunks of bytes.

A chunk is a header and a body. The header: magic (4 bytes), format version (1), kind (1: rows, end
or piece), number in the snapshot from 0 (4), rows in it (4), length of the body (4), CRC-32 of all
that and the body (4), big-endian. A rows body is msgpack: [table, row, row, ...], one such list
after the other. The end chunk's body is [rows in all, SHA-256 of all chunks before]: without it,
and unless it agrees, the snapshot is cut off or changed.

A chunk holds 256 KiB, or one row that is larger. A row that is larger than 4 MiB (no key, task or
lock is; a kept reply can be) has chunks of its own: the bodies of its pieces one after the other
are [table, row]. The last of them counts one row, the others none. Versions that do not know pieces
refuse such a snapshot; they can read every other one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Final, Protocol
from zlib import crc32

import msgpack

from coord.codec.errors import SnapshotDamagedError
from coord.codec.pieces import PieceUnpacker, pack_pieces
from coord.core.base.weight import weight_of

FORMAT: Final = 1
_MAGIC: Final = b"CSNP"
_ROWS: Final = 1
_END: Final = 2
_PIECE: Final = 3
_HEAD: Final = struct.Struct(">4sBBIII")
_CRC: Final = struct.Struct(">I")
_PREFIX_BYTES: Final = _HEAD.size + _CRC.size
_TARGET_CHUNK_BYTES: Final = 256 * 1024
_MAX_ROW_WEIGHT: Final = 4 * 1024 * 1024  # of a row that is written as a whole
_ROWS_AT_ONCE: Final = 64

_NOT_MSGPACK: Final = (ValueError, TypeError, RecursionError, msgpack.UnpackException)

NamedRow = tuple[str, tuple[Any, ...]]


class RowSource(Protocol):
    """A frozen state (`coord.core.snapshot.StateView`)."""

    def next_rows(self, max_rows: int) -> list[NamedRow] | None:
        """Up to `max_rows` rows, none if it takes long to find some; None once there are no
        more."""
        ...

    def close(self) -> None: ...


class SnapshotEncoder:
    """Rows in, chunks out, a slice of work at a time; a `coord.replication.port.SnapshotSource`.

    What is waiting to be packed are references to values of the state, not copies of them."""

    __slots__ = (
        "_ended",
        "_exhausted",
        "_number",
        "_packer",
        "_piece",
        "_pieces",
        "_rows",
        "_source",
        "_sum",
        "_total",
    )

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self._packer = msgpack.Packer(autoreset=False)
        self._rows: list[NamedRow] = []  # read and not yet packed
        self._pieces: Iterator[bytes] = iter(())  # of a row that is under way
        self._piece: bytes | None = None  # the next one of them
        self._sum = sha256()
        self._number = 0
        self._total = 0
        self._exhausted = False  # there are no more rows to read
        self._ended = False

    def next_chunk(self) -> bytes | None:
        """The next chunk, or None at the end."""
        if self._ended:
            return None
        if self._piece is not None:
            return self._next_piece()
        rows = self._pack_rows()
        if rows or not (self._rows or self._exhausted):  # without any where they are hard to find
            body = self._packer.bytes()
            self._packer.reset()
            return self._counted(_ROWS, rows, body)
        if self._rows:
            self._pieces = pack_pieces(self._rows.pop(0), _TARGET_CHUNK_BYTES)
            self._piece = next(self._pieces)
            return self._next_piece()
        self._ended = True
        return _chunk(_END, self._number, 0, msgpack.packb([self._total, self._sum.digest()]))

    def close(self) -> None:
        """Give the view up; allowed at any time, more than once."""
        self._ended = True
        self._rows.clear()
        self._pieces, self._piece = iter(()), None
        self._source.close()

    def _counted(self, kind: int, rows: int, body: bytes) -> bytes:
        chunk = _chunk(kind, self._number, rows, body)
        self._sum.update(chunk)
        self._number += 1
        self._total += rows
        return chunk

    def _next_piece(self) -> bytes:
        piece, self._piece = self._piece or b"", next(self._pieces, None)
        return self._counted(_PIECE, 0 if self._piece is not None else 1, piece)

    def _pack_rows(self) -> int:
        """Fill the packer up to the target; returns the number of rows. None, and rows left over:
        the first of them has to be written in pieces."""
        packer = self._packer
        count, at_once = 0, 1
        while (size := packer.getbuffer().nbytes) < _TARGET_CHUNK_BYTES:
            if count:
                # Few are asked for where few can be expected to fit: the rest would have to wait.
                fits = (_TARGET_CHUNK_BYTES - size) * count // size
                at_once = max(1, min(_ROWS_AT_ONCE, fits))
            if not self._rows and not self._read(at_once):
                break
            packed = self._pack_group(_TARGET_CHUNK_BYTES - size)
            if not packed:
                break
            count += packed
        return count

    def _read(self, at_once: int) -> bool:
        """Whether there are rows to pack now."""
        found = self._source.next_rows(at_once)
        self._exhausted = found is None
        self._rows = found or []
        return bool(found)

    def _pack_group(self, room: int) -> int:
        """Pack the first rows of those that are waiting: of one table, and no more than there is
        room for, unless that is a single one. Returns how many; none if the first is too large."""
        rows = self._rows
        group: list[Any] = []
        for name, row in rows:
            weight = weight_of(row)
            room -= weight
            if weight > _MAX_ROW_WEIGHT or (group and (room < 0 or name != group[0])):
                break
            if not group:
                group.append(name)
            group.append(row)
        if not group:
            return 0
        self._packer.pack(group)
        count = len(group) - 1
        del rows[:count]
        return count


def decode_snapshot(chunks: Iterable[bytes]) -> Iterator[NamedRow]:
    """The rows again. Only after the last one is it known that the snapshot is whole, so build
    aside and use nothing before the iterator ends.

    Raises SnapshotDamagedError; nothing else, whatever the bytes."""
    total, number, ended = 0, 0, False
    digest = sha256()
    pieces: PieceUnpacker | None = None
    for chunk in chunks:
        if ended:
            raise SnapshotDamagedError(f"snapshot goes on after its end, with chunk {number + 1}")
        kind, count, body = _open_chunk(chunk, number)
        if pieces is not None and kind != _PIECE:
            raise SnapshotDamagedError(f"snapshot chunk {number} stands within a row of several")
        if kind == _END:
            if list(_unpack(body, number)) != [(total, digest.digest())]:
                raise SnapshotDamagedError("snapshot does not hold the rows that its end counts")
            ended = True
            continue
        if kind == _PIECE:
            pieces = pieces or PieceUnpacker()
            yield from _piece(pieces, body, number, count)
            if count:
                pieces = None
        else:
            yield from _rows(body, number, count)
        digest.update(chunk)
        total += count
        number += 1
    if not ended:
        raise SnapshotDamagedError(f"snapshot is cut off after {number} chunks: it has no end")


def _rows(body: memoryview, number: int, count: int) -> Iterator[NamedRow]:
    """The rows of a rows chunk."""
    found = 0
    for group in _unpack(body, number):
        name, rows = _named(group, number)
        found += len(rows)
        for row in rows:
            yield name, row
    if found != count:
        raise SnapshotDamagedError(f"snapshot chunk {number} holds {found} rows, not {count}")


def _piece(pieces: PieceUnpacker, body: memoryview, number: int, count: int) -> Iterator[NamedRow]:
    """The row that a piece completes, if it does."""
    if count > 1:
        raise SnapshotDamagedError(f"snapshot chunk {number} is a piece of {count} rows")
    try:
        pieces.feed(body)
        if not count:
            return
        group = pieces.value()
    except _NOT_MSGPACK as error:
        raise SnapshotDamagedError(f"snapshot chunk {number} is not msgpack: {error}") from None
    name, rows = _named(group, number)
    if len(rows) != 1:
        raise SnapshotDamagedError(f"snapshot chunk {number} ends {len(rows)} rows, not 1")
    yield name, rows[0]


def _chunk(kind: int, number: int, rows: int, body: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, FORMAT, kind, number, rows, len(body))
    return b"".join((head, _CRC.pack(crc32(body, crc32(head))), body))


def _open_chunk(chunk: bytes, expected_number: int) -> tuple[int, int, memoryview]:
    """(kind, rows, body) of a chunk that is whole and in its place."""
    where = f"snapshot chunk {expected_number}"
    if len(chunk) < _PREFIX_BYTES:
        raise SnapshotDamagedError(f"{where} is cut off within its header")
    magic, version, kind, number, rows, size = _HEAD.unpack_from(chunk)
    if magic != _MAGIC:
        raise SnapshotDamagedError(f"{where} is not a snapshot chunk")
    body = memoryview(chunk)[_PREFIX_BYTES:]
    if len(body) != size:
        raise SnapshotDamagedError(f"{where} holds {len(body)} bytes, not {size}")
    if _CRC.unpack_from(chunk, _HEAD.size)[0] != crc32(body, crc32(chunk[: _HEAD.size])):
        raise SnapshotDamagedError(f"{where} has another checksum than its content")
    if version != FORMAT or kind not in (_ROWS, _END, _PIECE):
        raise SnapshotDamagedError(
            f"{where} has format {version}, kind {kind}; this program reads format {FORMAT}"
        )
    if number != expected_number:
        raise SnapshotDamagedError(f"{where} is missing: chunk {number} came in its place")
    return kind, rows, body


def _unpack(body: memoryview, number: int) -> Iterator[Any]:
    """Every msgpack value of a body."""
    # Nothing in a body can be longer than the body.
    unpacker = msgpack.Unpacker(use_list=False, strict_map_key=False, max_buffer_size=len(body))
    try:
        unpacker.feed(body)
        while unpacker.tell() < len(body):
            yield unpacker.unpack()
    except msgpack.OutOfData:
        raise SnapshotDamagedError(f"snapshot chunk {number} is cut off within a row") from None
    except _NOT_MSGPACK as error:
        raise SnapshotDamagedError(f"snapshot chunk {number} is not msgpack: {error}") from None


def _named(group: Any, number: int) -> tuple[str, tuple[tuple[Any, ...], ...]]:
    if type(group) is tuple and group and type(group[0]) is str:
        rows = group[1:]
        if all(type(row) is tuple for row in rows):
            return group[0], rows
    raise SnapshotDamagedError(f"snapshot chunk {number} holds something that is not rows")
