"""How the first version that was released reads the chunks of a snapshot. Not to be changed: nodes
of that version get snapshots from nodes of this one."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from zlib import crc32

import msgpack

NamedRow = tuple[str, tuple[Any, ...]]


def read(chunks: Iterable[bytes]) -> list[NamedRow]:
    """All rows; ValueError for what that version refuses."""
    rows: list[NamedRow] = []
    digest = sha256()
    ended = False
    for number, chunk in enumerate(chunks):
        assert not ended
        kind, count, body = _open(chunk, number)
        values = _unpack(body)
        if kind == 2:
            assert values == [(len(rows), digest.digest())]
            ended = True
            continue
        found = [(name, row) for name, *named in values for row in named]
        assert len(found) == count
        rows += found
        digest.update(chunk)
    assert ended
    return rows


def _open(chunk: bytes, expected: int) -> tuple[int, int, bytes]:
    magic, version, kind, number, rows, size = struct.unpack_from(">4sBBIII", chunk)
    body = chunk[22:]
    assert (magic, number, size) == (b"CSNP", expected, len(body))
    assert struct.unpack_from(">I", chunk, 18)[0] == crc32(body, crc32(chunk[:18]))
    if version != 1 or kind not in (1, 2):
        raise ValueError(f"format {version}, kind {kind}")
    return kind, rows, body


def _unpack(body: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker(use_list=False, strict_map_key=False, max_buffer_size=len(body))
    unpacker.feed(body)
    values = []
    while unpacker.tell() < len(body):
        values.append(unpacker.unpack())
    return values
