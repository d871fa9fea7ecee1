"""Replies as plain tuples, for snapshots and digests.

A reply becomes (number of its type, field, ...), a plain tuple (0, item, ...). The numbers are in
snapshots on disk: they are never reused, and a new type gets the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast, get_args

from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import Done
from coord.core.base.table import GivenRow, Row
from coord.core.batch import Reply
from coord.core.cluster.commands import LevelRaised
from coord.core.kv.commands import KeyValue, KvDeleteReply, KvPutReply, KvRangeReply, KvTxnReply
from coord.core.locks.commands import LockReply
from coord.core.sessions.commands import SessionKept, SessionOpened
from coord.core.sessions.records import KeptReply
from coord.core.sizes import reply_size
from coord.core.tasks.commands import (
    Claimed,
    ItemOutcome,
    ItemOutcomes,
    QueueDeleted,
    Redriven,
    Submitted,
    TaskChanged,
)

_TYPES: Final[dict[int, type[NamedTuple]]] = {
    1: Rejected,
    2: Done,
    3: SessionOpened,
    4: SessionKept,
    5: Submitted,
    6: Claimed,
    7: ItemOutcome,
    8: ItemOutcomes,
    9: TaskChanged,
    10: Redriven,
    11: LockReply,
    12: KeyValue,
    13: KvRangeReply,
    14: KvPutReply,
    15: KvDeleteReply,
    16: KvTxnReply,
    17: LevelRaised,
    20: QueueDeleted,
}
_NUMBERS: Final[dict[type, int]] = {reply_type: number for number, reply_type in _TYPES.items()}
_MISSING: Final = [one.__name__ for one in get_args(Reply) if one not in _NUMBERS]
if _MISSING:
    raise RuntimeError(f"replies without a number: {', '.join(_MISSING)}")


def encode_reply(reply: Reply) -> Row:
    """The reply as nested plain tuples."""
    return cast(Row, _encode(reply))


def decode_reply(row: GivenRow, share: Callable[[KeyValue], KeyValue] | None = None) -> Reply:
    """The reply again; takes lists for tuples. `share`: gives one object for equal pairs."""
    return cast(Reply, _decode(row, share))


def _encode(value: Any) -> Any:
    if type(value) is tuple:
        return (0, *(_encode(item) for item in value))
    if isinstance(value, tuple):
        # An unknown type fails here, and not when somebody reads the snapshot.
        return (_NUMBERS[type(value)], *(_encode(item) for item in value))
    if isinstance(value, Reason):
        return value.value
    return value


def _decode(value: Any, share: Callable[[KeyValue], KeyValue] | None) -> Any:
    if not isinstance(value, tuple | list):
        return value
    items = tuple(_decode(item, share) for item in value[1:])
    if value[0] == 0:
        return items
    reply_type: Any = _TYPES[value[0]]
    if reply_type is Rejected:
        return Rejected(Reason(items[0]), *items[1:])
    reply = reply_type(*items)
    return share(reply) if share is not None and reply_type is KeyValue else reply


def encode_kept_reply(key: tuple[int, int], kept: KeptReply) -> Row:
    reply, digest, _ = kept
    row = (*key, encode_reply(reply))
    return (*row, digest) if digest else row


def decode_kept_reply(
    row: GivenRow, share: Callable[[KeyValue], KeyValue] | None = None
) -> tuple[tuple[int, int], KeptReply]:
    reply = decode_reply(row[2], share)
    digest = row[3] if len(row) > 3 else 0
    return (row[0], row[1]), (reply, digest, reply_size(reply))
