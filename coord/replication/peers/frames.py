"""Frames between nodes: 4 bytes length, 4 bytes CRC32 (big-endian), then that many bytes.

TCP's own checksum is weak and a damaged entry would be logged with a right CRC of its own, so each
frame carries one. A frame of length 0 is a ping (answered with the same).

What a frame becomes when it is decoded is bounded too: a byte can become an object of 56. A small
frame can not become much; a larger one is decoded field by field, and its objects are counted.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn, TypeVar
from zlib import crc32

import msgpack

_HEADER = struct.Struct(">II")
FRAME_HEADER_BYTES = _HEADER.size
PING = _HEADER.pack(0, 0)

SMALL_BYTES = 8 * 1024  # no more objects than that come of it
MAX_ENTRIES = 1 << 18  # in the longest list of a message: more than a batch of entries can have
MAX_ELEMENTS = 1 << 20  # of all lists and maps of a message together
_MAX_SMALL_LIST = 2 * 1024  # lists are allocated before their elements are seen, one in another
_MAX_WIDTH = 64  # of any other list or map in a larger message


class FrameError(ValueError):
    """The bytes are no acceptable frame; the connection they came from is of no more use."""


def frame_header(payload: bytes) -> bytes:
    """The bytes in front of `payload`."""
    return _HEADER.pack(len(payload), crc32(payload))


def pack(message: object) -> bytes:
    """A message as msgpack. ValueError or TypeError for what msgpack cannot carry."""
    data: bytes = msgpack.packb(message)
    return data


def unpack(payload: memoryview | bytes, *, max_width: int = _MAX_SMALL_LIST) -> Any:
    """The message; lists for tuples. `max_width`: of any list or map in a small one. Raises
    FrameError whatever the bytes are, and before they take much more room than they do now."""
    try:
        if len(payload) > SMALL_BYTES:
            return _unpack_large(payload)
        return msgpack.unpackb(
            payload, max_array_len=max_width, max_map_len=_MAX_WIDTH, ext_hook=_refuse_extension
        )
    except Exception as error:  # the library's errors have no common base
        raise FrameError(f"not a message: {type(error).__name__}: {error!s:.200}") from error


def _unpack_large(payload: memoryview | bytes) -> Any:
    """Only a list that is a value of the outermost map may be long."""
    budget = _Budget()
    unpacker = msgpack.Unpacker(
        max_array_len=_MAX_WIDTH,
        max_map_len=_MAX_WIDTH,
        max_buffer_size=len(payload),
        ext_hook=_refuse_extension,
        list_hook=budget.spend,
        object_hook=budget.spend,
    )
    unpacker.feed(payload)
    if not _is_map(payload[0]):
        message = unpacker.unpack()
    else:
        message = {}
        for _ in range(_bounded(unpacker.read_map_header(), _MAX_WIDTH)):
            key = unpacker.unpack()
            if type(key) is not str:
                raise ValueError("a name was expected")
            if _is_array(payload[unpacker.tell()]):
                count = _bounded(unpacker.read_array_header(), MAX_ENTRIES)
                message[key] = [unpacker.unpack() for _ in range(count)]
            else:
                message[key] = unpacker.unpack()
    if unpacker.tell() != len(payload):
        raise ValueError("there are bytes behind the message")
    return message


_Made = TypeVar("_Made", list[Any], dict[Any, Any])


class _Budget:
    """Counts the elements of lists and maps as they are made."""

    def __init__(self) -> None:
        self._left = MAX_ELEMENTS

    def spend(self, made: _Made) -> _Made:
        self._left -= 1 + len(made)
        if self._left < 0:
            raise ValueError(f"more than {MAX_ELEMENTS} elements")
        return made


def _bounded(count: int, most: int) -> int:
    if count > most:
        raise ValueError(f"{count} elements; {most} at most")
    return count


def _is_map(first: int) -> bool:
    return first & 0xF0 == 0x80 or first in (0xDE, 0xDF)


def _is_array(first: int) -> bool:
    return first & 0xF0 == 0x90 or first in (0xDC, 0xDD)


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise ValueError(f"an extension type {code}")


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
