"""Bounds on key-value requests, in the order and with the words of etcd v3 (server/etcdserver/api/
v3rpc/key.go), so that its clients see the errors they know. Only the sizes of keys and values are
our own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, assert_never

from coord.core.base.bounds import Check
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected
from coord.core.kv.commands import KvCompact, KvDelete, KvNothing, KvOp, KvPut, KvRange, KvTxn

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
_EMPTY_OP: Final = Rejected(Reason.KEY_NOT_FOUND, "etcdserver: key not found")
_DUPLICATE_KEY: Final = Rejected(
    Reason.DUPLICATE_KEY, "etcdserver: duplicate key given in txn request"
)
TOO_MANY_OPS: Final = Rejected(
    Reason.TOO_LARGE,
    "etcdserver: too many operations in txn request",
    (("limit", str(LIMITS.max_txn_ops)),),
)


def validate_range(command: KvRange, level: int) -> Rejected | None:
    """Why the form of a range read is refused, or None. Its revision is checked by the store.

    A negative limit is none at all, as in etcd; level 0 refuses it."""
    refused = _key(command.key) or _range_end(command.range_end)
    if refused:
        return refused
    if command.limit < 0 and level < 1:
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


def _put(command: KvPut, level: int) -> Rejected | None:
    refused = _key(command.key)
    if refused:
        return refused
    if command.ignore_value and command.value:
        return _VALUE_PROVIDED
    if command.ignore_lease and command.lease:
        return _LEASE_PROVIDED
    return _size("value", command.value, LIMITS.max_value_bytes)


def _delete(command: KvDelete, level: int) -> Rejected | None:
    return _key(command.key) or _range_end(command.range_end)


def _compact(command: KvCompact, level: int) -> Rejected | None:
    if command.revision < 0 and level < 1:
        return Rejected(
            Reason.INVALID_ARGUMENT,
            f"revision is {command.revision}; it must not be negative",
            (("field", "revision"),),
        )
    return None


# ---- transactions


def _txn(command: KvTxn, level: int) -> Rejected | None:
    if _deeper_than(_MAX_TXN_DEPTH, command):
        return Rejected(
            Reason.TOO_LARGE,
            f"transactions are nested deeper than {_MAX_TXN_DEPTH}",
            (("limit", str(_MAX_TXN_DEPTH)),),
        )
    if _cost(command, level) > LIMITS.max_txn_ops:
        return TOO_MANY_OPS
    refused = _txn_form(command, level)
    if refused:
        return refused
    success = _writes(command.success, level)
    if success is None or (command.failure and _writes(command.failure, level) is None):
        return _DUPLICATE_KEY
    return None


def _deeper_than(levels: int, txn: KvTxn) -> bool:
    return levels == 0 or any(
        _deeper_than(levels - 1, op)
        for branch in (txn.success, txn.failure)
        for op in branch
        if isinstance(op, KvTxn)
    )


def _cost(txn: KvTxn, level: int) -> int:
    """The work a transaction may cause. For a flat one it is what etcd counts; a nested one costs
    its whole content, so that nesting does not multiply what is allowed."""
    return max(len(txn.compare), _branch_cost(txn.success, level), _branch_cost(txn.failure, level))


def _branch_cost(ops: Sequence[KvOp], level: int) -> int:
    return len(ops) + sum([_nested_cost(op, level) for op in ops if isinstance(op, KvTxn)])


def _nested_cost(txn: KvTxn, level: int) -> int:
    """Both branches are looked at, whichever is taken; level 0 counts the larger one."""
    if level < 1:
        return _cost(txn, level)
    branches = _branch_cost(txn.success, level) + _branch_cost(txn.failure, level)
    return len(txn.compare) + branches


def _txn_form(txn: KvTxn, level: int) -> Rejected | None:
    for compare in txn.compare:
        refused = _key(compare.key) or _range_end(compare.range_end)
        if refused:
            return refused
    for branch in (txn.success, txn.failure):
        for op in branch:
            refused = _op_form(op, level)
            if refused:
                return refused
    return None


def _op_form(op: KvOp, level: int) -> Rejected | None:
    match op:
        case KvRange():
            return validate_range(op, level)
        case KvPut():
            return _put(op, level)
        case KvDelete():
            return _delete(op, level)
        case KvTxn():
            return _txn_form(op, level)
        case KvNothing():
            return _EMPTY_OP
        case _:
            assert_never(op)


class _Writes:
    """What the operations of one branch put and delete. Deleted intervals are kept merged and in
    order, so that a key is looked up by one search."""

    __slots__ = ("_begins", "_ends", "puts")

    def __init__(self) -> None:
        self.puts: set[bytes] = set()
        self._begins: list[bytes] = []
        self._ends: list[bytes | None] = []  # None: without end

    def delete(self, begin: bytes, end: bytes | None) -> None:
        """Add the interval begin <= key < end."""
        if end is not None and end <= begin:
            return
        begins, ends = self._begins, self._ends
        # All that overlap the new one, or touch it, become one with it.
        first = bisect_right(begins, begin)
        if first and _reaches(ends[first - 1], begin):
            first -= 1
        last = first
        while last < len(begins) and (end is None or begins[last] <= end):
            begin = min(begin, begins[last])
            known = ends[last]
            end = None if end is None or known is None else max(end, known)
            last += 1
        begins[first:last] = [begin]
        ends[first:last] = [end]

    def deletes(self, key: bytes) -> bool:
        """Whether an interval holds the key."""
        at = bisect_right(self._begins, key) - 1
        if at < 0:
            return False
        end = self._ends[at]
        return end is None or key < end

    def merge(self, other: _Writes) -> None:
        """Add what another branch writes."""
        if len(other.puts) > len(self.puts):
            self.puts, other.puts = other.puts, self.puts
        self.puts |= other.puts
        if not self._begins:
            self._begins, self._ends = other._begins, other._ends
            return
        for begin, end in zip(other._begins, other._ends, strict=True):
            self.delete(begin, end)


def _reaches(end: bytes | None, begin: bytes) -> bool:
    return end is None or begin <= end


def _writes(ops: Sequence[KvOp], level: int) -> _Writes | None:
    """What the operations of one branch write, or None if a key is written twice.

    etcd's checkIntervals: deletes may overlap each other; a key that is put may be written by
    nothing else, except by the other branch of the same nested transaction."""
    found = _Writes()
    for op in ops:
        if isinstance(op, KvDelete):
            found.delete(*_interval(op, level))
    for op in ops:
        if isinstance(op, KvTxn) and not _merge_nested(op, found, level):
            return None
    for op in ops:
        if isinstance(op, KvPut):
            if op.key in found.puts or found.deletes(op.key):
                return None
            found.puts.add(op.key)
    return found


def _merge_nested(txn: KvTxn, found: _Writes, level: int) -> bool:
    """Add what a nested transaction may write to what its siblings write; False on a conflict."""
    success, failure = _writes(txn.success, level), _writes(txn.failure, level)
    if success is None or failure is None:
        return False
    for branch in (success, failure):
        if any(key in found.puts or found.deletes(key) for key in branch.puts):
            return False
    found.merge(success)
    found.merge(failure)
    return True


def _interval(op: KvDelete, level: int) -> tuple[bytes, bytes | None]:
    """What a deletion counts as beside a put. etcd takes a range_end of b"\\0" literally here, as
    an end before everything, so that such a deletion may stand beside any put; level 0 does not."""
    if not op.range_end:
        return op.key, op.key + b"\0"
    if level >= 1:
        return op.key, op.range_end
    return op.key, None if op.range_end == FROM_KEY_ON else op.range_end


BOUNDS: Final[dict[type, Check]] = {
    KvPut: _put,
    KvDelete: _delete,
    KvTxn: _txn,
    KvCompact: _compact,
}
