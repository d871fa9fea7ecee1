"""How many parts a request may have, looked at before they are made into objects.

A few bytes can stand for a part: without a bound, a message of 8 MiB would become millions of
objects before anything could say that a thousand are allowed. Used where requests come in; what is
in the log has passed.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from coord.codec.errors import TooManyPartsError
from coord.codec.kinds import REQUEST_CLASS, CommandKind
from coord.core.base.bounds import too_many
from coord.core.base.limits import LIMITS
from coord.core.kv.bounds import TOO_MANY_OPS

K = CommandKind
MAX_PARTS: Final = 8_192
"""Messages and texts in lists, at any depth: more than any request within its limits has."""

SCANNED_BYTES: Final = 32 * 1024
"""A request of at most so many bytes has no more parts than can be borne."""

_TEXTS: Final = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_MAX_DEPTH: Final = 100  # protobuf's own

_Parts = dict[int, Any]  # number of a field with parts -> the parts' own fields, a _Parts again

_COUNTED: Final[dict[int, tuple[tuple[str, int], ...]]] = {
    K.SUBMIT_TASKS: (("tasks", LIMITS.max_batch_items),),
    K.HEARTBEAT_TASKS: (("items", LIMITS.max_batch_items),),
    K.COMPLETE_TASKS: (("items", LIMITS.max_batch_items),),
    K.FAIL_TASKS: (("items", LIMITS.max_batch_items),),
    K.RELEASE_TASKS: (("items", LIMITS.max_batch_items),),
    K.CLAIM_TASKS: (("queues", LIMITS.max_queues_per_call),),
    K.OPEN_SESSION: (
        ("queues", LIMITS.max_queues_per_call),
        ("labels", LIMITS.max_labels),
    ),
}


def check_bytes(kind: int, raw: bytes) -> None:
    """Refuse what would become too many objects when it is parsed. Raises TooManyPartsError.

    Bytes that are not such a message pass: the parser says what is wrong with them."""
    if len(raw) <= SCANNED_BYTES:
        return
    parts = _parts_of(REQUEST_CLASS[CommandKind(kind)].DESCRIPTOR)
    try:
        left = _scan(parts, raw, 0, len(raw), MAX_PARTS, _MAX_DEPTH)
    except IndexError:
        return
    if left < 0:
        raise TooManyPartsError(too_many("the request", MAX_PARTS, "parts"))


def check_counts(kind: int, message: Any) -> None:
    """Refuse lists that are too long before their items are decoded. Raises TooManyPartsError."""
    if kind == K.KV_TXN:
        limit = LIMITS.max_txn_ops
        if max(len(message.compare), len(message.success), len(message.failure)) > limit:
            raise TooManyPartsError(TOO_MANY_OPS)
        return
    for field, limit in _COUNTED.get(kind, ()):
        count = len(getattr(message, field))
        if count > limit:
            raise TooManyPartsError(too_many(field, limit, "items", count))


@cache
def _parts_of(descriptor: Descriptor) -> _Parts:
    parts: _Parts = {}
    _fill(descriptor, parts, {descriptor.full_name: parts})
    return parts


def _fill(descriptor: Descriptor, parts: _Parts, known: dict[str, _Parts]) -> None:
    """Messages may hold themselves, so what is known is linked to and not walked again."""
    for field in descriptor.fields:
        inner = field.message_type
        if inner is None:
            if field.is_repeated and field.type in _TEXTS:
                parts[field.number] = {}
        elif inner.full_name in known:
            parts[field.number] = known[inner.full_name]
        else:
            parts[field.number] = known[inner.full_name] = {}
            _fill(inner, known[inner.full_name], known)


def _scan(parts: _Parts, raw: bytes, at: int, end: int, left: int, depth: int) -> int:
    """What is left of the allowance behind the fields of one message; negative: too many parts."""
    while at < end and left >= 0:
        # Most numbers are of one byte, and a call for each would take most of the time.
        tag, at = (raw[at], at + 1) if raw[at] < 0x80 else _varint(raw, at)
        wire_type = tag & 7
        if wire_type == 2:
            size, at = (raw[at], at + 1) if raw[at] < 0x80 else _varint(raw, at)
            inner = parts.get(tag >> 3)
            if inner is not None:
                left -= 1
                if inner and depth:
                    left = _scan(inner, raw, at, min(at + size, end), left, depth - 1)
            at += size
        elif wire_type == 0:
            at = at + 1 if raw[at] < 0x80 else _varint(raw, at)[1]
        elif wire_type == 1:
            at += 8
        elif wire_type == 5:
            at += 4
        else:
            break
    return left


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """(value, place behind it); IndexError if it is cut off."""
    byte = raw[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while byte >= 0x80 and shift < 70:
        at += 1
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at + 1
