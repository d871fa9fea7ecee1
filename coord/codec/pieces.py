"""A value that is too large for one buffer <-> msgpack in pieces.

The pieces one after the other are what `msgpack.packb` would give. Neither side ever holds the
whole of it as bytes: what is packed leaves, and what is unpacked is taken from the pieces."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

import msgpack

from coord.core.base.weight import weight_of

_BYTES_HEAD: Final = struct.Struct(">BI")
_TEXT_32: Final = 0xDB
_BYTES_32: Final = 0xC6
_FEWEST_BYTES: Final = 65_536  # of a value that has a length of four bytes


def pack_pieces(value: Any, piece_bytes: int) -> Iterator[bytes]:
    """Pieces of `piece_bytes` or somewhat more, the last one smaller; `value` as a row has it."""
    packer = msgpack.Packer(autoreset=False)
    yield from _pack(packer, value, max(piece_bytes, _FEWEST_BYTES))
    if packer.getbuffer().nbytes:
        yield packer.bytes()


def _pack(packer: Any, value: Any, piece_bytes: int) -> Iterator[bytes]:
    kind = type(value)
    if (kind is tuple or kind is list) and weight_of(value) > piece_bytes:
        packer.pack_array_header(len(value))
        for item in value:
            yield from _pack(packer, item, piece_bytes)
        return
    if kind is str and len(value) > piece_bytes:
        yield from _pack_slices(packer, _TEXT_32, value.encode(), piece_bytes)
    elif kind is bytes and len(value) > piece_bytes:
        yield from _pack_slices(packer, _BYTES_32, value, piece_bytes)
    else:
        packer.pack(value)
        if packer.getbuffer().nbytes >= piece_bytes:
            yield _flushed(packer)


def _pack_slices(packer: Any, head: int, data: bytes, piece_bytes: int) -> Iterator[bytes]:
    yield _flushed(packer) + _BYTES_HEAD.pack(head, len(data))
    view = memoryview(data)
    for at in range(0, len(view), piece_bytes):
        yield bytes(view[at : at + piece_bytes])


def _flushed(packer: Any) -> bytes:
    data: bytes = packer.bytes()
    packer.reset()
    return data


class PieceUnpacker:
    """Takes the pieces of one value. Raises what msgpack raises for bytes that are none."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(use_list=False, strict_map_key=False, max_buffer_size=0)
        self._fed = 0
        self._values: list[Any] = []

    def feed(self, piece: bytes | memoryview) -> None:
        """The next piece. What is complete of the value is taken out of its bytes at once."""
        self._unpacker.feed(piece)
        self._fed += len(piece)
        while self._unpacker.tell() < self._fed and len(self._values) < 2:
            try:
                self._values.append(self._unpacker.unpack())
            except msgpack.OutOfData:
                return

    def value(self) -> Any:
        """The value, after the last piece; ValueError unless it was exactly one."""
        if len(self._values) != 1 or self._unpacker.tell() != self._fed:
            raise ValueError("its pieces are not those of one row")
        return self._values[0]
