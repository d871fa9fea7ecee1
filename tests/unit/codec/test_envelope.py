"""Log entries: what is refused, and the cache of batches this node made itself."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from coord.codec.envelope import (
    BatchCache,
    Envelope,
    EnvelopeItem,
    decode_envelope,
    encode_envelope,
    to_batch,
)
from coord.codec.errors import DecodeError, UnknownCommandError
from coord.codec.kinds import CommandKind
from coord.core.base.principal import Principal
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Request
from tests.support.codec_samples import SAMPLES, raw

ITEM = EnvelopeItem(10, "me", 5, 9, 8, raw(CommandKind.SUBMIT_TASKS))


def test_every_kind_goes_through() -> None:
    items = [EnvelopeItem(int(kind), "user:p", 5, 9, 8, raw(kind)) for kind in CommandKind]
    batch = to_batch(encode_envelope(1_000, 2_000, items))
    assert batch == Batch(
        1_000,
        2_000,
        [
            Request(SAMPLES[kind][1], RequestId(5, 9, 8), Principal("user", "p"))
            for kind in CommandKind
        ],
    )


def test_an_empty_batch_moves_time() -> None:
    assert to_batch(encode_envelope(7, 8, [])) == Batch(7, 8, [])


def test_no_session_is_no_identity() -> None:
    data = encode_envelope(0, 0, [EnvelopeItem(2, "", 0, 0, 0, b"")])
    assert to_batch(data).requests[0].request_id is None
    data = encode_envelope(0, 0, [EnvelopeItem(2, "", 3, 0, 0, b"")])
    assert to_batch(data).requests[0].request_id == RequestId(3, 0, 0)


def test_request_bytes_are_kept_as_they_came() -> None:
    odd = b"\xff not protobuf at all"
    data = encode_envelope(1, 2, [ITEM._replace(raw=odd)])
    assert decode_envelope(data) == Envelope(1, 1, 2, (ITEM._replace(raw=odd),))
    with pytest.raises(DecodeError):
        to_batch(data)


def packed(*value: Any) -> bytes:
    data: bytes = msgpack.packb(list(value))
    return data


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", DecodeError),
        (b"\xc1", DecodeError),
        (b"\x93\x01", DecodeError),
        (packed(1, 2, 3, []) + b"\x00", DecodeError),
        (msgpack.packb(17), DecodeError),
        (msgpack.packb({1: 2}), DecodeError),
        (packed(), DecodeError),
        (packed("1", 2, 3, []), DecodeError),
        (packed(True, 2, 3, []), DecodeError),
        (packed(0, 2, 3, []), UnknownCommandError),
        (packed(2, 2, 3, []), UnknownCommandError),
        (packed(1, 2, 3), DecodeError),
        (packed(1, -2, 3, []), DecodeError),
        (packed(1, 2.5, 3, []), DecodeError),
        (packed(1, 2, None, []), DecodeError),
        (packed(1, 2, 3, 4), DecodeError),
        (packed(1, 2, 3, [4]), DecodeError),
        (packed(1, 2, 3, [[10, "p", 1, 2, 3]]), DecodeError),
        (packed(1, 2, 3, [[10, "p", 1, 2, 3, "text"]]), DecodeError),
        (packed(1, 2, 3, [[10, b"p", 1, 2, 3, b""]]), DecodeError),
        (packed(1, 2, 3, [["10", "p", 1, 2, 3, b""]]), DecodeError),
        (packed(1, 2, 3, [[10, "p", -1, 2, 3, b""]]), DecodeError),
        (packed(1, 2, 3, [[99, "p", 1, 2, 3, b""]]), UnknownCommandError),
        (b"\x91" * 10_000, DecodeError),
    ],
)
def test_refused(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        to_batch(data)
    assert len(str(caught.value)) > 10


def test_the_cache_answers_once_and_is_bounded() -> None:
    cache = BatchCache(capacity=2)
    batches = {encode_envelope(n, 0, []): Batch(n, 0, []) for n in range(3)}
    for data, batch in batches.items():
        cache.put(data, batch)
    oldest, *kept = batches
    assert len(cache) == 2
    assert to_batch(oldest, cache) == batches[oldest]
    for data in kept:
        copy = bytes(bytearray(data))
        assert to_batch(copy, cache) is batches[data]
        again = to_batch(copy, cache)
        assert again == batches[data]
        assert again is not batches[data]
    assert len(cache) == 0


def test_the_cache_is_bounded_by_bytes_too() -> None:
    """One entry can be as large as a thousand others."""
    entries = [
        encode_envelope(n, 0, [EnvelopeItem(1, "", 0, 0, 0, b"x" * 1_000)]) for n in range(9)
    ]
    size = len(entries[0])
    cache = BatchCache(max_bytes=3 * size)
    for n, data in enumerate(entries):
        cache.put(data, Batch(n, 0, []))
        cache.put(data, Batch(n, 0, []))
    assert len(cache) == 3
    assert cache.take(entries[5]) is None
    assert cache.take(entries[8]) == Batch(8, 0, [])
    cache.put(entries[0], Batch(0, 0, []))
    assert cache.take(entries[6]) == Batch(6, 0, []), "what was taken counts no more"
    cache.put(b"x" * 3 * size, Batch(1, 0, []))
    assert len(cache) == 1
    cache.put(b"x" * (3 * size + 1), Batch(1, 0, []))
    assert len(cache) == 0
