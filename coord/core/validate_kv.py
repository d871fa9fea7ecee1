"""Bounds on key-value requests, in the order and with the words of etcd v3 (server/etcdserver/api/
v3rpc/key.go), so that its clients see the errors they know. Only the sizes of keys and values are
our own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final, assert_never

from coord.core import commands as c
from coord.core.limits import LIMITS
from coord.core.reasons import Reason
from coord.core.replies import Rejected

FROM_KEY_ON: Final = b"\0"
"""As a range_end: every key from `key` on."""

_MAX_TXN_DEPTH: Final = 32

_EMPTY_KEY: Final = Rejected(
    Reason.INVALID_ARGUMENT, "etcdserver: key is not provided", (("field", "key"),)
)
_VALUE_PROVIDED: Final = Rejected(
    Reason.INVALID_ARGUMENT, "etcdserver: value is provided", (("field", "value"),)
)
_LEASE_PROVIDED: Final = Rejected(
    Reason.INVALID_ARGUMENT, "etcdserver: lease is provided", (("field", "lease"),)
)
_DUPLICATE_KEY: Final = Rejected(
    Reason.DUPLICATE_KEY, "etcdserver: duplicate key given in txn request"
)
_TOO_MANY_OPS: Final = Rejected(
    Reason.TOO_LARGE,
    "etcdserver: too many operations in txn request",
    (("limit", str(LIMITS.max_txn_ops)),),
)


def validate_range(command: c.KvRange) -> Rejected | None:
    """Why the form of a range read is refused, or None. Its revision is checked by the store."""
    refused = _key(command.key) or _range_end(command.range_end)
    if refused:
        return refused
    if command.limit < 0:
        return Rejected(
            Reason.INVALID_ARGUMENT,
            f"limit is {command.limit}; it must not be negative",
            (("field", "limit"),),
        )
    return None


def _key(key: bytes) -> Rejected | None:
    if not key:
        return _EMPTY_KEY
    return _size("key", key, LIMITS.max_key_bytes)


def _range_end(range_end: bytes) -> Rejected | None:
    # One byte longer than a key: the end of a range that stops just behind the longest key.
    return _size("range_end", range_end, LIMITS.max_key_bytes + 1)


def _size(field: str, value: bytes, limit: int) -> Rejected | None:
    if len(value) <= limit:
        return None
    return Rejected(
        Reason.TOO_LARGE,
        f"{field} holds {len(value)} bytes; at most {limit} are allowed",
        (("field", field), ("limit", str(limit))),
    )


def _put(command: c.KvPut) -> Rejected | None:
    refused = _key(command.key)
    if refused:
        return refused
    if command.ignore_value and command.value:
        return _VALUE_PROVIDED
    if command.ignore_lease and command.lease:
        return _LEASE_PROVIDED
    return _size("value", command.value, LIMITS.max_value_bytes)


def _delete(command: c.KvDelete) -> Rejected | None:
    return _key(command.key) or _range_end(command.range_end)


def _compact(command: c.KvCompact) -> Rejected | None:
    if command.revision < 0:
        return Rejected(
            Reason.INVALID_ARGUMENT,
            f"revision is {command.revision}; it must not be negative",
            (("field", "revision"),),
        )
    return None


# ---- transactions


def _txn(command: c.KvTxn) -> Rejected | None:
    if _deeper_than(_MAX_TXN_DEPTH, command):
        return Rejected(
            Reason.TOO_LARGE,
            f"transactions are nested deeper than {_MAX_TXN_DEPTH}",
            (("limit", str(_MAX_TXN_DEPTH)),),
        )
    if _cost(command) > LIMITS.max_txn_ops:
        return _TOO_MANY_OPS
    refused = _txn_form(command)
    if refused:
        return refused
    if _writes(command.success) is None or _writes(command.failure) is None:
        return _DUPLICATE_KEY
    return None


def _deeper_than(levels: int, txn: c.KvTxn) -> bool:
    return levels == 0 or any(
        _deeper_than(levels - 1, op)
        for branch in (txn.success, txn.failure)
        for op in branch
        if isinstance(op, c.KvTxn)
    )


def _cost(txn: c.KvTxn) -> int:
    """The work a transaction may cause. For a flat one it is what etcd counts; a nested one costs
    its whole content, so that nesting does not multiply what is allowed."""
    return max(len(txn.compare), _branch_cost(txn.success), _branch_cost(txn.failure))


def _branch_cost(ops: Sequence[c.KvOp]) -> int:
    return len(ops) + sum(_cost(op) for op in ops if isinstance(op, c.KvTxn))


def _txn_form(txn: c.KvTxn) -> Rejected | None:
    for compare in txn.compare:
        refused = _key(compare.key) or _range_end(compare.range_end)
        if refused:
            return refused
    for branch in (txn.success, txn.failure):
        for op in branch:
            refused = _op_form(op)
            if refused:
                return refused
    return None


def _op_form(op: c.KvOp) -> Rejected | None:
    match op:
        case c.KvRange():
            return validate_range(op)
        case c.KvPut():
            return _put(op)
        case c.KvDelete():
            return _delete(op)
        case c.KvTxn():
            return _txn_form(op)
        case _:
            assert_never(op)


_Interval = tuple[bytes, bytes | None]  # [begin, end); None = without end
_Writes = tuple[set[bytes], list[_Interval]]


def _writes(ops: Sequence[c.KvOp]) -> _Writes | None:
    """What the operations of one branch put and delete, or None if a key is written twice.

    etcd's checkIntervals: deletes may overlap each other; a key that is put may be written by
    nothing else, except by the other branch of the same nested transaction."""
    deletes = [_interval(op) for op in ops if isinstance(op, c.KvDelete)]
    puts: set[bytes] = set()
    for op in ops:
        if isinstance(op, c.KvTxn) and not _merge_nested(op, puts, deletes):
            return None
    own_puts = [op.key for op in ops if isinstance(op, c.KvPut)]
    own = set(own_puts)
    if len(own) != len(own_puts) or own & puts or _touches(own, deletes):
        return None
    return puts | own, deletes


def _merge_nested(txn: c.KvTxn, puts: set[bytes], deletes: list[_Interval]) -> bool:
    """Add what a nested transaction may write to what its siblings write; False on a conflict."""
    success, failure = _writes(txn.success), _writes(txn.failure)
    if success is None or failure is None:
        return False
    nested = success[0] | failure[0]
    if nested & puts or _touches(nested, deletes):
        return False
    puts |= nested
    deletes += success[1]
    deletes += failure[1]
    return True


def _interval(op: c.KvDelete) -> _Interval:
    if not op.range_end:
        return op.key, op.key + b"\0"
    return op.key, None if op.range_end == FROM_KEY_ON else op.range_end


def _touches(keys: set[bytes], intervals: list[_Interval]) -> bool:
    """Does any key lie in any interval? Merged first, so that it costs n log n."""
    if not keys or not intervals:
        return False
    begins: list[bytes] = []
    ends: list[bytes | None] = []
    for begin, end in sorted(intervals, key=lambda interval: interval[0]):
        if end is not None and end <= begin:
            continue
        if begins and (ends[-1] is None or begin <= ends[-1]):
            last = ends[-1]
            ends[-1] = None if last is None or end is None else max(last, end)
            continue
        begins.append(begin)
        ends.append(end)
    for key in keys:
        at = bisect_right(begins, key) - 1
        if at >= 0:
            end_at = ends[at]
            if end_at is None or key < end_at:
                return True
    return False


KV_VALIDATORS: Final[dict[type, Callable[[Any], Rejected | None]]] = {
    c.KvPut: _put,
    c.KvDelete: _delete,
    c.KvTxn: _txn,
    c.KvCompact: _compact,
}
