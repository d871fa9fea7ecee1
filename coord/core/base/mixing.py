"""Building blocks of the digests of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zlib import crc32


def mix_bytes(crc: int, value: bytes) -> int:
    # The length goes first: neighbouring fields must not run into each other.
    return crc32(value, crc ^ len(value))


def mix_plain(crc: int, value: tuple[Any, ...]) -> int:
    """Of integers, text, small bytes and tuples of these: ascii() gives the same text everywhere,
    unlike repr()."""
    return crc32(ascii(value).encode(), crc)


Mix = Callable[[int, Any], int]


def started(digests: Mapping[type, Mix]) -> dict[type, tuple[int, Mix]]:
    """Each with the number that it starts from, so that commands with equal fields differ."""
    return {kind: (crc32(kind.__name__.encode()), mix) for kind, mix in digests.items()}
