"""Replies as plain tuples, for snapshots and digests.

A reply becomes (number of its type, field, ...), a plain tuple (0, item, ...). The numbers are in
snapshots on disk: they are never reused, and a new type gets the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast, get_args

from coord.core import replies as r
from coord.core.base.table import GivenRow, Row
from coord.core.reasons import Reason

_TYPES: Final[dict[int, type[NamedTuple]]] = {
    1: r.Rejected,
    2: r.Done,
    3: r.SessionOpened,
    4: r.SessionKept,
    5: r.Submitted,
    6: r.Claimed,
    7: r.ItemOutcome,
    8: r.ItemOutcomes,
    9: r.TaskChanged,
    10: r.Redriven,
    11: r.LockReply,
    12: r.KeyValue,
    13: r.KvRangeReply,
    14: r.KvPutReply,
    15: r.KvDeleteReply,
    16: r.KvTxnReply,
    17: r.LevelRaised,
    20: r.QueueDeleted,
}
_NUMBERS: Final[dict[type, int]] = {reply_type: number for number, reply_type in _TYPES.items()}
_MISSING: Final = [one.__name__ for one in get_args(r.Reply) if one not in _NUMBERS]
if _MISSING:
    raise RuntimeError(f"replies without a number: {', '.join(_MISSING)}")


def encode_reply(reply: r.Reply) -> Row:
    """The reply as nested plain tuples."""
    return cast(Row, _encode(reply))


def decode_reply(row: GivenRow, share: Callable[[r.KeyValue], r.KeyValue] | None = None) -> r.Reply:
    """The reply again; takes lists for tuples. `share`: gives one object for equal pairs."""
    return cast(r.Reply, _decode(row, share))


def _encode(value: Any) -> Any:
    if type(value) is tuple:
        return (0, *(_encode(item) for item in value))
    if isinstance(value, tuple):
        # An unknown type fails here, and not when somebody reads the snapshot.
        return (_NUMBERS[type(value)], *(_encode(item) for item in value))
    if isinstance(value, Reason):
        return value.value
    return value


def _decode(value: Any, share: Callable[[r.KeyValue], r.KeyValue] | None) -> Any:
    if not isinstance(value, tuple | list):
        return value
    items = tuple(_decode(item, share) for item in value[1:])
    if value[0] == 0:
        return items
    reply_type: Any = _TYPES[value[0]]
    if reply_type is r.Rejected:
        return r.Rejected(Reason(items[0]), *items[1:])
    reply = reply_type(*items)
    return share(reply) if share is not None and reply_type is r.KeyValue else reply
