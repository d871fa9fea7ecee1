"""Bytes of a snapshot file: a sealed header with the metadata, chunks, and an end mark.

    chunk   4  length   4  CRC32   body
    end     4  0xFFFFFFFF   4  CRC32   8  number of chunks   8  bytes in them

Each CRC32 covers its length (or counts) and body and starts from the CRC before it, the first from
the header's, so the end mark's CRC vouches for all chunks in their order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from coord.journal.sealed import SealError, seal, sealed_size, unseal

_MAGIC = b"COORDSNP"
_CHUNK = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_COUNTS = struct.Struct("<QQ")
_END = 0xFFFFFFFF
SEAL_PREFIX_BYTES = 16
MAX_HEADER_BYTES = 1024 * 1024
MAX_CHUNK_BYTES = 64 * 1024 * 1024
END_BYTES = _CHUNK.size + _COUNTS.size


class SnapshotFormatError(ValueError):
    """The bytes are not an intact snapshot; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """What a snapshot is of: the state after `index` (of `term`). `prev_index` and `prev_term` are
    those of the entry before, `members` the cluster's members then (opaque here), `format` that of
    the state's own bytes."""

    index: int
    term: int
    prev_index: int
    prev_term: int
    members: bytes
    created_wall_ms: int
    format: int = 1


def encode_header(meta: SnapshotMeta) -> bytes:
    return seal(
        _MAGIC,
        {
            "index": meta.index,
            "term": meta.term,
            "prev_index": meta.prev_index,
            "prev_term": meta.prev_term,
            "members": meta.members,
            "created_wall_ms": meta.created_wall_ms,
            "format": meta.format,
        },
    )


def header_size(start: bytes) -> int:
    """The size of the header that begins with these (at least SEAL_PREFIX_BYTES) bytes."""
    try:
        size = sealed_size(_MAGIC, start)
    except SealError as error:
        raise SnapshotFormatError(f"the header is not intact: {error}") from error
    if size > MAX_HEADER_BYTES:
        raise SnapshotFormatError(f"the header claims {size} bytes")
    return size


def decode_header(data: bytes) -> SnapshotMeta:
    try:
        return _meta(unseal(_MAGIC, data))
    except (SealError, TypeError) as error:
        raise SnapshotFormatError(f"the header is not intact: {error}") from error


def _meta(values: dict[str, Any]) -> SnapshotMeta:
    meta = SnapshotMeta(**values)
    numbers = (meta.index, meta.term, meta.prev_index, meta.prev_term, meta.created_wall_ms)
    if not all(isinstance(n, int) for n in (*numbers, meta.format)):
        raise TypeError("a number is missing")
    if not isinstance(meta.members, bytes):
        raise TypeError("the members are missing")
    return meta


class ChunkEncoder:
    """Frames chunks; keeps the running CRC."""

    def __init__(self, header: bytes) -> None:
        self._crc = crc32(header)
        self._chunks = 0
        self._bytes = 0

    def frame(self, chunk: bytes) -> bytes:
        """The bytes in front of `chunk`."""
        if len(chunk) > MAX_CHUNK_BYTES:
            raise ValueError(f"a snapshot chunk of {len(chunk)} bytes; {MAX_CHUNK_BYTES} at most")
        self._crc = crc32(chunk, crc32(_LENGTH.pack(len(chunk)), self._crc))
        self._chunks += 1
        self._bytes += len(chunk)
        return _CHUNK.pack(len(chunk), self._crc)

    def end(self) -> bytes:
        counts = _COUNTS.pack(self._chunks, self._bytes)
        return _CHUNK.pack(_END, crc32(counts, self._crc)) + counts


class SnapshotDecoder:
    """Takes a snapshot's bytes in pieces of any size, verifies them, gives the chunks back."""

    def __init__(self) -> None:
        self.meta: SnapshotMeta | None = None
        self.complete = False
        self._buffer = bytearray()
        self._crc = 0
        self._chunks = 0
        self._bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Chunks completed by these bytes. Raises SnapshotFormatError."""
        self._buffer += data
        if self.meta is None and not self._take_header():
            return []
        chunks = []
        while not self.complete and (chunk := self._take_chunk()) is not None:
            chunks.append(chunk)
        if self.complete and self._buffer:
            raise SnapshotFormatError("there are bytes after the end")
        return chunks

    def _take_header(self) -> bool:
        if len(self._buffer) < SEAL_PREFIX_BYTES:
            return False
        size = header_size(bytes(self._buffer[:SEAL_PREFIX_BYTES]))
        if len(self._buffer) < size:
            return False
        header = self._take(size)
        self.meta = decode_header(header)
        self._crc = crc32(header)
        return True

    def _take_chunk(self) -> bytes | None:
        if len(self._buffer) < _CHUNK.size:
            return None
        length, crc = _CHUNK.unpack_from(self._buffer)
        if length == _END:
            self._take_end(crc)
            return None
        if length > MAX_CHUNK_BYTES:
            raise SnapshotFormatError(f"chunk {self._chunks} claims {length} bytes")
        if len(self._buffer) < _CHUNK.size + length:
            return None
        chunk = self._take(_CHUNK.size + length)[_CHUNK.size :]
        self._crc = crc32(chunk, crc32(_LENGTH.pack(length), self._crc))
        if self._crc != crc:
            raise SnapshotFormatError(f"chunk {self._chunks} is not intact")
        self._chunks += 1
        self._bytes += length
        return chunk

    def _take_end(self, crc: int) -> None:
        if len(self._buffer) < END_BYTES:
            return
        counts = self._take(END_BYTES)[_CHUNK.size :]
        if crc32(counts, self._crc) != crc:
            raise SnapshotFormatError("the end mark is not intact")
        if _COUNTS.unpack(counts) != (self._chunks, self._bytes):
            raise SnapshotFormatError("the end mark counts other chunks")
        self.complete = True

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken
