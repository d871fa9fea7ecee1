"""The rows of a state <-> chunks of bytes.

A chunk is a header and a msgpack body. The header: magic (4 bytes), format version (1), kind (1:
rows or end), number in the snapshot from 0 (4), rows in it (4), length of the body (4), CRC-32 of
all that and the body (4), big-endian. A rows body is [table, row, row, ...], one such list after
the other. The end chunk's body is [rows in all, SHA-256 of all row chunks]: without it, and unless
it agrees, the snapshot is cut off or changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Protocol
from zlib import crc32

import msgpack

from coord.codec.errors import SnapshotDamagedError

FORMAT: Final = 1
_MAGIC: Final = b"CSNP"
_ROWS: Final = 1
_END: Final = 2
_HEAD: Final = struct.Struct(">4sBBIII")
_CRC: Final = struct.Struct(">I")
_PREFIX_BYTES: Final = _HEAD.size + _CRC.size
_TARGET_CHUNK_BYTES: Final = 256 * 1024
_ROWS_AT_ONCE: Final = 64

NamedRow = tuple[str, tuple[Any, ...]]


class RowSource(Protocol):
    """A frozen state (`coord.core.snapshot.StateView`)."""

    def next_rows(self, max_rows: int) -> list[NamedRow] | None:
        """Up to `max_rows` rows, at least one; None once there are no more."""
        ...

    def close(self) -> None: ...


class SnapshotEncoder:
    """Rows in, chunks out, a slice of work at a time; a `coord.replication.port.SnapshotSource`.

    A chunk holds about 256 KiB, or a few rows if they are larger than that."""

    __slots__ = ("_ended", "_number", "_packer", "_source", "_sum", "_total")

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self._packer = msgpack.Packer(autoreset=False)
        self._sum = sha256()
        self._number = 0
        self._total = 0
        self._ended = False

    def next_chunk(self) -> bytes | None:
        """The next chunk, or None at the end."""
        if self._ended:
            return None
        rows = self._pack_rows()
        if not rows:
            self._ended = True
            body = msgpack.packb([self._total, self._sum.digest()])
            return _chunk(_END, self._number, 0, body)
        chunk = _chunk(_ROWS, self._number, rows, self._packer.bytes())
        self._packer.reset()
        self._sum.update(chunk)
        self._number += 1
        self._total += rows
        return chunk

    def close(self) -> None:
        """Give the view up; allowed at any time, more than once."""
        self._ended = True
        self._source.close()

    def _pack_rows(self) -> int:
        """Fill the packer up to the target; returns the number of rows."""
        packer, next_rows = self._packer, self._source.next_rows
        count, at_once = 0, 1
        while (size := packer.getbuffer().nbytes) < _TARGET_CHUNK_BYTES:
            if count:
                # Rows differ in size by a factor of ten thousand: ask for about what still fits.
                fits = (_TARGET_CHUNK_BYTES - size) * count // size
                at_once = max(1, min(_ROWS_AT_ONCE, fits))
            batch = next_rows(at_once)
            if batch is None:
                break
            for name, group in groupby(batch, itemgetter(0)):
                packer.pack([name, *[row for _, row in group]])
            count += len(batch)
        return count


def decode_snapshot(chunks: Iterable[bytes]) -> Iterator[NamedRow]:
    """The rows again. Only after the last one is it known that the snapshot is whole, so build
    aside and use nothing before the iterator ends.

    Raises SnapshotDamagedError; nothing else, whatever the bytes."""
    total, number, ended = 0, 0, False
    digest = sha256()
    for chunk in chunks:
        if ended:
            raise SnapshotDamagedError(f"snapshot goes on after its end, with chunk {number + 1}")
        kind, count, body = _open_chunk(chunk, number)
        if kind == _END:
            if _unpack(body, number) != [(total, digest.digest())]:
                raise SnapshotDamagedError("snapshot does not hold the rows that its end counts")
            ended = True
            continue
        found = 0
        for group in _unpack(body, number):
            name, rows = _named(group, number)
            found += len(rows)
            for row in rows:
                yield name, row
        if found != count:
            raise SnapshotDamagedError(f"snapshot chunk {number} holds {found} rows, not {count}")
        digest.update(chunk)
        total += found
        number += 1
    if not ended:
        raise SnapshotDamagedError(f"snapshot is cut off after {number} chunks: it has no end")


def _chunk(kind: int, number: int, rows: int, body: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, FORMAT, kind, number, rows, len(body))
    return b"".join((head, _CRC.pack(crc32(body, crc32(head))), body))


def _open_chunk(chunk: bytes, expected_number: int) -> tuple[int, int, bytes]:
    """(kind, rows, body) of a chunk that is whole and in its place."""
    where = f"snapshot chunk {expected_number}"
    if len(chunk) < _PREFIX_BYTES:
        raise SnapshotDamagedError(f"{where} is cut off within its header")
    magic, version, kind, number, rows, size = _HEAD.unpack_from(chunk)
    if magic != _MAGIC:
        raise SnapshotDamagedError(f"{where} is not a snapshot chunk")
    body = chunk[_PREFIX_BYTES:]
    if len(body) != size:
        raise SnapshotDamagedError(f"{where} holds {len(body)} bytes, not {size}")
    if _CRC.unpack_from(chunk, _HEAD.size)[0] != crc32(body, crc32(chunk[: _HEAD.size])):
        raise SnapshotDamagedError(f"{where} has another checksum than its content")
    if version != FORMAT or kind not in (_ROWS, _END):
        raise SnapshotDamagedError(
            f"{where} has format {version}, kind {kind}; this program reads format {FORMAT}"
        )
    if number != expected_number:
        raise SnapshotDamagedError(f"{where} is missing: chunk {number} came in its place")
    return kind, rows, body


def _unpack(body: bytes, number: int) -> list[Any]:
    """Every msgpack value of a body."""
    # Nothing in a body can be longer than the body.
    unpacker = msgpack.Unpacker(use_list=False, strict_map_key=False, max_buffer_size=len(body))
    values = []
    try:
        unpacker.feed(body)
        while unpacker.tell() < len(body):
            values.append(unpacker.unpack())
    except msgpack.OutOfData:
        raise SnapshotDamagedError(f"snapshot chunk {number} is cut off within a row") from None
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise SnapshotDamagedError(f"snapshot chunk {number} is not msgpack: {error}") from None
    return values


def _named(group: Any, number: int) -> tuple[str, tuple[tuple[Any, ...], ...]]:
    if type(group) is tuple and group and type(group[0]) is str:
        rows = group[1:]
        if all(type(row) is tuple for row in rows):
            return group[0], rows
    raise SnapshotDamagedError(f"snapshot chunk {number} holds something that is not rows")
