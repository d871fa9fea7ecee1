"""Protobuf's wire format, as far as messages are put together from bytes that are there already: in
protobuf, joining the bytes of two messages merges them, so a field is added by appending it."""

from __future__ import annotations


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field (a message, bytes or text) of 1 to 15."""
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
