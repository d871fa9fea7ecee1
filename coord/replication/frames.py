"""Frames between nodes: 4 bytes length, 4 bytes CRC32 (big-endian), then that many bytes.

TCP's own checksum is weak and a damaged entry would be logged with a right CRC of its own, so each
frame carries one. A frame of length 0 is a ping (answered with the same).
"""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

import msgpack

_HEADER = struct.Struct(">II")
FRAME_HEADER_BYTES = _HEADER.size
PING = _HEADER.pack(0, 0)


class FrameError(ValueError):
    """The bytes are no acceptable frame; the connection they came from is of no more use."""


def frame_header(payload: bytes) -> bytes:
    """The bytes in front of `payload`."""
    return _HEADER.pack(len(payload), crc32(payload))


def pack(message: object) -> bytes:
    """A message as msgpack. ValueError or TypeError for what msgpack cannot carry."""
    data: bytes = msgpack.packb(message)
    return data


def unpack(payload: memoryview | bytes) -> Any:
    """The message; lists for tuples. Raises FrameError whatever the bytes are."""
    try:
        return msgpack.unpackb(payload, strict_map_key=False)
    except Exception as error:  # the library's errors have no common base
        raise FrameError(f"not a message: {type(error).__name__}: {error}") from error


class FrameReader:
    """Cuts a byte stream into frames. Payloads are views of the given bytes where possible."""

    def __init__(self, max_frame_bytes: int) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._rest = bytearray()
        self._needed = FRAME_HEADER_BYTES  # bytes there must be for the next step

    def feed(self, data: bytes) -> list[memoryview]:
        """The payloads completed by these bytes (empty: a ping). Raises FrameError."""
        source: bytes | bytearray = data
        if self._rest:
            self._rest += data
            source = self._rest
        if len(source) < self._needed:
            if source is data:
                self._rest += data
            return []
        return self._cut(source)

    def _cut(self, source: bytes | bytearray) -> list[memoryview]:
        view = memoryview(source)
        payloads = []
        position = 0
        self._needed = FRAME_HEADER_BYTES
        while len(view) - position >= FRAME_HEADER_BYTES:
            length, crc = _HEADER.unpack_from(view, position)
            if length > self.max_frame_bytes:
                raise FrameError(f"a frame of {length} bytes; {self.max_frame_bytes} at most")
            if len(view) - position < FRAME_HEADER_BYTES + length:
                self._needed = FRAME_HEADER_BYTES + length
                break
            position += FRAME_HEADER_BYTES
            payload = view[position : position + length]
            if crc32(payload) != crc:
                raise FrameError("the checksum of a frame is wrong")
            payloads.append(payload)
            position += length
        self._rest = bytearray(view[position:])
        return payloads
