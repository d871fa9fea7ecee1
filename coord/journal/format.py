"""Bytes of the journal, format version 1. All numbers are little-endian.

A segment is a header followed by records, written front to back and never overwritten, and, while
it is in use, zeros: room for more.

    segment header (48 bytes)
        8  magic "COORDWAL"
        2  format version      2  flags (1: everything in lower-numbered segments is dropped)
        4  reserved (0)
        8  segment number      8  sequence of the first record
        8  index the next entry must have (0: any)
        4  reserved (0)        4  CRC32 of the 44 bytes before
    record header (52 bytes), then the body
        4  magic               1  kind (1 entry, 2 truncate, 3 seal)
        3  reserved (0)        4  length of the body
        8  sequence: one more than the record before, through the life of the journal
        8  synced: a sequence up to which all was durable when this record was written
        8  index               8  term
        4  CRC32 of the body
        4  CRC32 of the 48 bytes before, started from the segment header's CRC

The header has a CRC of its own, so that a damaged body does not make its length doubtful; starting
it from the segment header's CRC and counting the sequence make a record valid in one place only,
so bytes left by an earlier use of a disk block are never taken for a record. `synced` tells an
unsynced tail that a power cut tore apart from durable records that were damaged later.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

FORMAT_VERSION = 1
SEGMENT_MAGIC = b"COORDWAL"
RECORD_MAGIC = b"\xc7\xd1rJ"  # no zero byte: a lost (zeroed) sector never looks like its start
FLAG_STARTS_ANEW = 1

_SEGMENT = struct.Struct("<8sHHIQQQI")
_RECORD = struct.Struct("<4sB3xIQQQQI")
_CRC = struct.Struct("<I")
SEGMENT_HEADER_BYTES = _SEGMENT.size + _CRC.size
RECORD_HEADER_BYTES = _RECORD.size + _CRC.size
_RECORD_CHECKED_BYTES = _RECORD.size


class RecordKind(IntEnum):
    """Kinds of records; numbers are never reused."""

    ENTRY = 1
    TRUNCATE = 2  # entries from `index` on are no longer part of the log
    SEAL = 3  # the segment is complete and a following one exists


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of a segment. `crc` starts the CRC of every record header in it."""

    number: int
    first_sequence: int
    next_index: int
    starts_anew: bool
    crc: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A valid record; `end` is the offset of the byte after it."""

    kind: RecordKind
    sequence: int
    synced: int
    index: int
    term: int
    body_start: int
    end: int


class UnknownFormatError(ValueError):
    """A header is intact and of a format version that this program does not know."""


def encode_segment_header(header: SegmentHeader) -> tuple[bytes, int]:
    """The header's bytes and their CRC."""
    flags = FLAG_STARTS_ANEW if header.starts_anew else 0
    fields = _SEGMENT.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        flags,
        0,
        header.number,
        header.first_sequence,
        header.next_index,
        0,
    )
    crc = crc32(fields)
    return fields + _CRC.pack(crc), crc


def decode_segment_header(data: bytes) -> SegmentHeader | None:
    """None if the bytes are not an intact header; UnknownFormatError for another version."""
    if len(data) < SEGMENT_HEADER_BYTES:
        return None
    fields = data[: _SEGMENT.size]
    (crc,) = _CRC.unpack_from(data, _SEGMENT.size)
    magic, version, flags, _, number, first_sequence, next_index, _ = _SEGMENT.unpack(fields)
    if magic != SEGMENT_MAGIC or crc32(fields) != crc:
        return None
    if version != FORMAT_VERSION:
        raise UnknownFormatError(f"journal format {version}, this program reads {FORMAT_VERSION}")
    starts_anew = bool(flags & FLAG_STARTS_ANEW)
    return SegmentHeader(number, first_sequence, next_index, starts_anew, crc)


def encode_record_header(
    kind: RecordKind, sequence: int, synced: int, index: int, term: int, body: bytes, seed: int
) -> bytes:
    """The bytes in front of `body`. `seed` is the CRC of the segment header."""
    fields = _RECORD.pack(RECORD_MAGIC, kind, len(body), sequence, synced, index, term, crc32(body))
    return fields + _CRC.pack(crc32(fields, seed))


def record_end(data: memoryview, offset: int, seed: int) -> int | None:
    """Where the record at `offset` ends, which may be past the data; None: no intact header."""
    checked = data[offset : offset + _RECORD_CHECKED_BYTES]
    if len(data) - offset < RECORD_HEADER_BYTES or bytes(checked[:4]) != RECORD_MAGIC:
        return None
    (crc,) = _CRC.unpack_from(data, offset + _RECORD_CHECKED_BYTES)
    if crc32(checked, seed) != crc:
        return None
    _, _, length, *_ = _RECORD.unpack(checked)
    return offset + RECORD_HEADER_BYTES + int(length)


def decode_record(data: memoryview, offset: int, seed: int) -> Record | None:
    """The record at `offset`, or None if its bytes are not one in full."""
    end = record_end(data, offset, seed)
    if end is None or end > len(data):
        return None
    _, kind, _, sequence, synced, index, term, body_crc = _RECORD.unpack_from(data, offset)
    body_start = offset + RECORD_HEADER_BYTES
    if crc32(data[body_start:end]) != body_crc:
        return None
    try:
        known = RecordKind(kind)
    except ValueError as error:
        raise UnknownFormatError(f"journal record kind {kind}") from error
    return Record(known, sequence, synced, index, term, body_start, end)
