"""A batch of requests <-> the bytes of one log entry.

Layout, msgpack: [version, now_ms, wall_ms, [[kind, principal, session_id, sequence, acked_below,
request_bytes], ...]]. `request_bytes` is what the client sent, never encoded again. Damage on disk
and on the wire is found by their own checksums; an entry that passed those and is not understood
here stops the node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack

from coord.codec.commands import Decode, decode, request_id
from coord.codec.errors import DecodeError, UnknownCommandError
from coord.codec.principal import principal_in
from coord.core.batch import Batch, Request

VERSION: Final = 1
_CACHE_BYTES: Final = 64 * 1024 * 1024  # the decoded requests take about as much again
_MAX_UINT64: Final = (1 << 64) - 1


class EnvelopeItem(NamedTuple):
    """One request as logged. `principal` as text (`coord.codec.principal`). Session, sequence and
    acked_below are all 0 without a session."""

    kind: int
    principal: str
    session_id: int
    sequence: int
    acked_below: int
    raw: bytes


class Envelope(NamedTuple):
    """One log entry as logged; `version` is the layout's."""

    version: int
    now_ms: int
    wall_ms: int
    items: tuple[EnvelopeItem, ...]


def encode_envelope(now_ms: int, wall_ms: int, items: Sequence[EnvelopeItem]) -> bytes:
    """The bytes of one log entry. Times in milliseconds; no items: it only moves time."""
    data: bytes = msgpack.packb([VERSION, now_ms, wall_ms, items])
    return data


def decode_envelope(data: bytes) -> Envelope:
    """Raises UnknownCommandError for another version, DecodeError for anything else that is not
    an envelope. Does not look into the requests."""
    try:
        value = msgpack.unpackb(data, use_list=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise DecodeError(
            f"log entry is not an envelope: {error or type(error).__name__}"
        ) from None
    if type(value) is not tuple or not value or type(value[0]) is not int:
        raise DecodeError("log entry is not an envelope: it does not begin with a version")
    if value[0] != VERSION:
        raise UnknownCommandError(
            f"log entry has envelope version {value[0]}; this program knows version {VERSION}: "
            "start a newer build"
        )
    if len(value) != 4 or not _is_count(value[1]) or not _is_count(value[2]):
        raise DecodeError("log entry is not an envelope: its times are missing")
    if type(value[3]) is not tuple:
        raise DecodeError("log entry is not an envelope: its requests are missing")
    return Envelope(VERSION, value[1], value[2], tuple([_item(item) for item in value[3]]))


def to_batch(
    data: bytes, cache: BatchCache | None = None, decode_command: Decode = decode
) -> Batch:
    """The batch in a log entry. With a cache, requests that were decoded when the entry was made
    are taken (and removed) from there. `decode_command` is the product's but in tests.

    Raises UnknownCommandError or DecodeError; both mean that the node cannot go on."""
    if cache is not None:
        batch = cache.take(data)
        if batch is not None:
            return batch
    envelope = decode_envelope(data)
    return Batch(
        envelope.now_ms,
        envelope.wall_ms,
        [
            Request(
                decode_command(kind, raw),
                request_id(session_id, sequence, acked_below),
                principal_in(text),
            )
            for kind, text, session_id, sequence, acked_below, raw in envelope.items
        ],
    )


class BatchCache:
    """Batches that this node made itself and has not applied yet, by the bytes of their entry.

    Equal bytes decode to equal batches, so an answer is right whatever became of the entry in
    between; a batch that is never asked for is dropped once `capacity` newer ones, or newer ones of
    `max_bytes`, are known. A batch that was put here must not be changed any more."""

    __slots__ = ("_batches", "_bytes", "_capacity", "_max_bytes")

    def __init__(self, capacity: int = 256, max_bytes: int = _CACHE_BYTES) -> None:
        self._batches: OrderedDict[bytes, Batch] = OrderedDict()
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = 0  # of the entries

    def __len__(self) -> int:
        return len(self._batches)

    def put(self, data: bytes, batch: Batch) -> None:
        """Remember what `data` decodes to."""
        self.take(data)
        self._batches[data] = batch
        self._bytes += len(data)
        while len(self._batches) > self._capacity or self._bytes > self._max_bytes:
            dropped, _ = self._batches.popitem(last=False)
            self._bytes -= len(dropped)

    def take(self, data: bytes) -> Batch | None:
        """The batch of these bytes, once; None if it is not known."""
        batch = self._batches.pop(data, None)
        if batch is not None:
            self._bytes -= len(data)
        return batch


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_UINT64


def _item(value: Any) -> EnvelopeItem:
    if type(value) is not tuple or len(value) != 6:
        raise DecodeError("log entry holds a request that is not a list of six")
    kind, principal, session_id, sequence, acked_below, raw = value
    if (
        type(kind) is not int
        or type(principal) is not str
        or not _is_count(session_id)
        or not _is_count(sequence)
        or not _is_count(acked_below)
        or type(raw) is not bytes
    ):
        raise DecodeError("log entry holds a request whose fields have other types")
    return EnvelopeItem(kind, principal, session_id, sequence, acked_below, raw)
