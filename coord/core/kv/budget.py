"""What one key-value request may cost: rows and bytes touched, counted before anything changes.

Operations say little about work: one of them may name every key there is. A row is a key that a
comparison, a read or a deletion looks at, or that a step writes; bytes count where values are
compared, sorted or answered.
"""

from __future__ import annotations

from typing import Final

from coord.core.base.limits import Limits
from coord.core.base.refusal import Reason, Rejected, refuse
from coord.core.kv.commands import KeyValue

_UNBOUNDED: Final = 1 << 62
_ROW_BYTES: Final = 48
"""What a pair takes in a reply beside key and value, about."""


class OverBudgetError(Exception):
    """Ends the evaluation of a request; nothing was changed."""

    def __init__(self, refusal: Rejected) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Budget:
    """What is left of one request's allowance. Every method raises OverBudgetError beyond it.

    `rows` and `bytes_seen` count what was spent; `level`: whose rules the request follows."""

    __slots__ = (
        "_bytes_name",
        "_max_bytes",
        "_max_rows",
        "_rows_name",
        "_weight",
        "answered",
        "bytes_seen",
        "level",
        "rows",
    )

    def __init__(
        self,
        level: int,
        max_rows: int,
        max_bytes: int,
        weight: int,
        rows_name: str,
        bytes_name: str,
    ) -> None:
        self.level = level
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._weight = weight
        self._rows_name = rows_name
        self._bytes_name = bytes_name
        self.rows = 0
        self.bytes_seen = 0
        self.answered = 0

    def look_at(self, rows: int) -> None:
        """Rows that are read, compared or walked over."""
        self.rows += rows
        self.require(self.rows)

    @property
    def bounded(self) -> bool:
        """Whether there are bounds at all."""
        return self._max_rows != _UNBOUNDED

    def require(self, rows: int) -> None:
        """Refuse a request that names so many rows, without spending anything."""
        if rows > self._max_rows:
            raise OverBudgetError(_refusal(self._rows_name, "rows", rows, self._max_rows))

    def write(self, rows: int) -> None:
        """Rows that are put or deleted."""
        self.look_at(rows * self._weight)

    def examine(self, size: int) -> None:
        """Bytes of values that are compared or sorted."""
        self.bytes_seen += size
        if self.bytes_seen > self._max_bytes:
            raise self._over_bytes(self.bytes_seen)

    def answer(self, kvs: tuple[KeyValue, ...]) -> None:
        """Pairs that go into the reply."""
        if self._max_bytes == _UNBOUNDED:
            return
        size = sum([len(kv.key) + len(kv.value) for kv in kvs]) + _ROW_BYTES * len(kvs)
        self.answered += size
        if self.answered > self._max_bytes:
            raise self._over_bytes(self.answered)

    def _over_bytes(self, size: int) -> OverBudgetError:
        return OverBudgetError(_refusal(self._bytes_name, "bytes", size, self._max_bytes))


def write_budget(limits: Limits, level: int) -> Budget:
    """Of a put, a delete or a transaction; level 0 knows no bounds."""
    if level < 1:
        return Budget(level, _UNBOUNDED, _UNBOUNDED, 1, "", "")
    return Budget(
        level,
        limits.max_txn_rows,
        limits.max_reply_bytes,
        limits.row_weight_written,
        "max_txn_rows",
        "max_reply_bytes",
    )


def read_budget(limits: Limits) -> Budget:
    """Of a range read, which is no command: it follows the newest rules at every level."""
    return Budget(
        1, limits.max_range_keys, limits.max_answer_bytes, 1, "max_range_keys", "max_answer_bytes"
    )


def _refusal(bound: str, unit: str, size: int, limit: int) -> Rejected:
    return refuse(
        Reason.TOO_LARGE,
        ("bound", bound),
        ("limit", str(limit)),
        ("size", str(size)),
        ("unit", unit),
    )
