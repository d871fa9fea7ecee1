"""Small values in files of their own: magic, version, length, CRC32, msgpack map."""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

import msgpack

_HEADER = struct.Struct("<8sHHI")
_CRC = struct.Struct("<I")
_VERSION = 1
SEALED_OVERHEAD_BYTES = _HEADER.size + _CRC.size


class SealError(ValueError):
    """The bytes are not an intact sealed value."""


def seal(magic: bytes, values: dict[str, Any]) -> bytes:
    """Header, body, and a CRC32 of both."""
    body: bytes = msgpack.packb(values)
    data = _HEADER.pack(magic, _VERSION, 0, len(body)) + body
    return data + _CRC.pack(crc32(data))


def sealed_size(magic: bytes, start: bytes) -> int:
    """The whole size of the value whose first bytes are `start` (unverified)."""
    if len(start) < _HEADER.size:
        raise SealError("it is too short")
    found, _, _, length = _HEADER.unpack_from(start)
    if found != magic:
        raise SealError("it begins with other bytes")
    return SEALED_OVERHEAD_BYTES + int(length)


def unseal(magic: bytes, data: bytes) -> dict[str, Any]:
    """The values; SealError unless `data` is exactly one intact sealed value of this kind."""
    if sealed_size(magic, data) != len(data):
        raise SealError("its length is wrong")
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if crc32(data[: -_CRC.size]) != crc:
        raise SealError("its checksum is wrong")
    _, version, _, _ = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise SealError(f"its format version is {version}, this program reads {_VERSION}")
    values = msgpack.unpackb(data[_HEADER.size : -_CRC.size])
    if not isinstance(values, dict):
        raise SealError("it is not a map")
    return values
