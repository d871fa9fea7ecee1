"""The key-value store, with the meaning of etcd v3's KV service.

Revisions are those of the whole state machine, so those of keys may have gaps. A command is checked
first and then carried out by steps that cannot fail: a transaction is carried out on a draft, which
is put in place once all of it is known to be within bounds. All changes of a transaction carry one
revision, and its reads see its own earlier writes. Commands have passed `coord.core.validate`.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from coord.core.base.invariants import invariant
from coord.core.base.limits import LIMITS, Limits
from coord.core.base.refusal import Reason, Rejected, refuse
from coord.core.base.request import Done
from coord.core.base.table import GivenRow, Row, Table
from coord.core.kv.budget import Budget, OverBudgetError, read_budget, write_budget
from coord.core.kv.commands import (
    KeyValue,
    KvCompact,
    KvDelete,
    KvDeleteReply,
    KvPut,
    KvPutReply,
    KvRange,
    KvRangeReply,
    KvTxn,
    KvTxnReply,
)
from coord.core.kv.draft import Draft
from coord.core.kv.history import KvHistory
from coord.core.kv.reads import interval, read_one, read_range, rows_in
from coord.core.kv.transactions import Plan, first_refusal, plan, rows_named

KvCommand = KvPut | KvDelete | KvTxn | KvCompact
KvReply = Rejected | Done | KvPutReply | KvDeleteReply | KvTxnReply

# The words of etcd, which its clients know.
_TIDY_MORE: Final = 8  # rows of history that a write takes away beyond those it adds


def _encode(key: bytes, kv: KeyValue) -> Row:
    return tuple(kv)


def _decode(row: GivenRow) -> tuple[bytes, KeyValue]:
    kv = KeyValue(*row)
    return kv.key, kv


class KvStore:
    """Keys, their values and their bounded history.

    Invariants: 1 <= create_revision <= mod_revision; version counts the puts since creation."""

    __slots__ = ("_changed", "_history", "_limits", "_live", "_live_bytes")

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._live: Table[bytes, KeyValue] = Table("kv", _encode, _decode, place=80)
        self._history = KvHistory(
            limits.kv_history_revisions, limits.kv_history_bytes, limits.kv_history_rows
        )
        self._changed: dict[bytes, None] = {}
        self._live_bytes = 0

    def __len__(self) -> int:
        return len(self._live)

    def has(self, key: bytes) -> bool:
        """Whether there is such a key now."""
        return key in self._live

    @property
    def live_bytes(self) -> int:
        """Of all keys and their values."""
        return self._live_bytes

    @property
    def history_bytes(self) -> int:
        """Of all keys and values of the history."""
        return self._history.size_bytes

    @property
    def history_rows(self) -> int:
        """Changes of keys that are kept."""
        return len(self._history)

    @property
    def compacted(self) -> int:
        """The smallest revision that can still be read."""
        return self._history.compacted

    @property
    def changed_keys(self) -> tuple[bytes, ...]:
        """Keys that the last `apply` put or deleted, each once, in order of their first change."""
        return tuple(self._changed)

    def tables(self) -> list[Table[Any, Any]]:
        """The replicated part, in the order of snapshots and digests."""
        return [self._live, *self._history.tables()]

    def rebuild(self) -> None:
        """Make the indexes again after rows were loaded into the tables."""
        self._history.rebuild()
        self._live_bytes = sum(len(kv.key) + len(kv.value) for kv in self._live.values())
        self._changed.clear()

    def apply(self, command: KvCommand, revision: int, level: int) -> tuple[KvReply, bool]:
        """Carry out one command. `revision` is the next one; it is used up only if the second
        part of the result is True. Without it keys are as before (a compaction may have forgotten
        history)."""
        self._changed.clear()
        try:
            reply = self._carry_out(command, revision, level)
        except OverBudgetError as error:
            return error.refusal, False
        if not self._changed:
            return reply, False
        if level < 1:
            self._history.trim()
        else:
            self._history.give_up_oldest()
            self._history.tidy(len(self._changed) + _TIDY_MORE)
        return reply, True

    def tidy(self, max_rows: int) -> int:
        """Take away up to `max_rows` rows of history that nobody can read any more; how many."""
        return self._history.tidy(max_rows)

    @property
    def untidy(self) -> bool:
        """Whether there is something to tidy."""
        return self._history.untidy

    def range(
        self, command: KvRange, current_revision: int, limits: Limits | None = None
    ) -> KvRangeReply | Rejected:
        """Read at `command.revision`, or as of now if that is not positive.

        Refused with REVISION_IN_FUTURE, REVISION_COMPACTED or TOO_LARGE."""
        refused = self._check_revision(command.revision, current_revision)
        if refused is not None:
            return refused
        if not command.range_end:
            now = self._live.get(command.key)
            return read_one(now, self._history, command, current_revision)
        try:
            return read_range(
                Draft(self._live),
                self._history,
                command,
                current_revision,
                read_budget(limits or self._limits),
            )
        except OverBudgetError as error:
            return error.refusal

    def too_large(self, command: KvDelete | KvTxn) -> Rejected | None:
        """Why a deletion or a transaction would be refused for the rows it names, as far as that
        can be told without carrying it out."""
        try:
            self._check_rows(command, write_budget(self._limits, 1))
        except OverBudgetError as error:
            return error.refusal
        return None

    def rows_named(self, command: KvDelete | KvTxn) -> int:
        """How many rows a deletion or a transaction names; what is written counts more."""
        weight, draft = self._limits.row_weight_written, Draft(self._live)
        if isinstance(command, KvTxn):
            return rows_named(draft, command, weight)
        return weight * rows_in(draft, command.key, command.range_end)

    def check(self, level: int = 0) -> None:
        """Invariants; raises InvariantViolation. Costs as much as the store is large."""
        for key, kv in self._live.items():
            invariant(kv.key == key and key != b"", "key of a record", (key, kv.key))
            invariant(
                1 <= kv.create_revision <= kv.mod_revision, "revisions of a key are ordered", kv[2:]
            )
            invariant(
                1 <= kv.version <= kv.mod_revision - kv.create_revision + 1,
                "a key has at most one version per revision",
                kv[2:],
            )
        size = sum(len(kv.key) + len(kv.value) for kv in self._live.values())
        invariant(size == self._live_bytes, "bytes of all keys", (size, self._live_bytes))
        self._history.check(level)

    # ---- checks, before anything changes

    def _check_steps(self, chosen: Plan, current_revision: int, level: int) -> Rejected | None:
        """The first fault: of all puts, then of all reads, as in etcd; level 0: in their order."""
        if level < 1:
            return first_refusal(chosen, lambda step: self._check(step, current_revision))
        return first_refusal(chosen, self._check_put_in_txn) or first_refusal(
            chosen, lambda step: self._check_read_in_txn(step, current_revision)
        )

    def _check(self, step: KvRange | KvPut | KvDelete, current_revision: int) -> Rejected | None:
        match step:
            case KvRange():
                return self._check_revision(step.revision, current_revision)
            case KvPut():
                return self._check_put_first_release(step)
            case KvDelete():
                return None
            case _:
                assert_never(step)

    def _check_put(self, put: KvPut) -> Rejected | None:
        return _check_lease(put) or self._check_key(put)

    def _check_put_first_release(self, put: KvPut) -> Rejected | None:
        return self._check_key(put) or _check_lease(put)

    def _check_put_in_txn(self, step: KvRange | KvPut | KvDelete) -> Rejected | None:
        return self._check_put_first_release(step) if isinstance(step, KvPut) else None

    def _check_read_in_txn(
        self, step: KvRange | KvPut | KvDelete, current_revision: int
    ) -> Rejected | None:
        """A negative revision is before the first one here, although a read by itself takes it for
        the present. (etcd's first revision is -1 until something is compacted.)"""
        if not isinstance(step, KvRange) or not step.revision:
            return None
        if step.revision < self._history.first:
            return self._compacted_refusal()
        return self._check_revision(step.revision, current_revision)

    def _check_key(self, put: KvPut) -> Rejected | None:
        if (put.ignore_value or put.ignore_lease) and put.key not in self._live:
            return refuse(Reason.KEY_NOT_FOUND)
        return None

    def _check_revision(self, revision: int, current_revision: int) -> Rejected | None:
        if revision > current_revision:
            return refuse(Reason.REVISION_IN_FUTURE, ("current", str(current_revision)))
        if 0 < revision < self._history.compacted:
            return self._compacted_refusal()
        return None

    def _compacted_refusal(self) -> Rejected:
        return refuse(Reason.REVISION_COMPACTED, ("compacted", str(self.compacted)))

    # ---- carrying out; before anything changes, OverBudgetError may end it

    def _carry_out(self, command: KvCommand, revision: int, level: int) -> KvReply:
        match command:
            case KvPut():
                check = self._check_put if level >= 1 else self._check_put_first_release
                return check(command) or self._put(command, revision)
            case KvDelete():
                return self._delete(command, revision, write_budget(self._limits, level))
            case KvTxn():
                return self._transact(command, revision, write_budget(self._limits, level))
            case KvCompact():
                return self._compact(command, revision - 1, level)
            case _:
                assert_never(command)

    def _put(self, command: KvPut, revision: int) -> KvPutReply:
        before = self._live.get(command.key)
        self._store(_put_over(command, before, revision), before)
        return KvPutReply(before if command.prev_kv else None, revision)

    def _delete(self, command: KvDelete, revision: int, budget: Budget) -> KvDeleteReply:
        if not command.range_end:
            return self._delete_one(command, revision)
        draft = Draft(self._live)
        reply = _delete_on(draft, command, revision, budget)
        self._commit(draft, revision)
        return reply

    def _delete_one(self, command: KvDelete, revision: int) -> KvDeleteReply:
        before = self._live.get(command.key)
        if before is None:
            return KvDeleteReply(0, (), revision - 1)
        self._live.remove(command.key)
        self._note(command.key, before, revision)
        return KvDeleteReply(1, (before,) if command.prev_kv else (), revision)

    def _transact(self, command: KvTxn, revision: int, budget: Budget) -> KvTxnReply | Rejected:
        self._check_rows(command, budget)
        draft = Draft(self._live)
        chosen = plan(draft, command, budget)
        refused = self._check_steps(chosen, revision - 1, budget.level)
        if refused is not None:
            return refused
        reply = self._steps_on(draft, chosen, revision, budget)
        self._commit(draft, revision)
        return reply

    def _check_rows(self, command: KvDelete | KvTxn, budget: Budget) -> None:
        """Look at the rows of both branches, before any of them is walked."""
        if budget.bounded:
            budget.require(self.rows_named(command))

    def _steps_on(self, draft: Draft, chosen: Plan, revision: int, budget: Budget) -> KvTxnReply:
        replies = tuple(
            [
                self._steps_on(draft, step, revision, budget)
                if isinstance(step, Plan)
                else self._step_on(draft, step, revision, budget)
                for step in chosen.steps
            ]
        )
        return KvTxnReply(chosen.succeeded, replies, _revision_of(draft, revision))

    def _step_on(
        self,
        draft: Draft,
        step: KvRange | KvPut | KvDelete,
        revision: int,
        budget: Budget,
    ) -> KvRangeReply | KvPutReply | KvDeleteReply:
        match step:
            case KvRange():
                now = _revision_of(draft, revision)
                return read_range(draft, self._history, step, now, budget)
            case KvPut():
                return _put_on(draft, step, revision, budget)
            case KvDelete():
                return _delete_on(draft, step, revision, budget)
            case _:
                assert_never(step)

    # ---- steps that cannot fail

    def _commit(self, draft: Draft, revision: int) -> None:
        for key, kv in draft.changed.items():
            before = self._live.get(key)
            if kv is not None:
                self._store(kv, before)
                continue
            if before is not None:
                self._live.remove(key)
            self._note(key, before, revision)

    def _store(self, kv: KeyValue, before: KeyValue | None) -> None:
        if before is None:
            self._live.insert(kv.key, kv)
        else:
            self._live.replace(kv.key, kv)
        self._live_bytes += len(kv.key) + len(kv.value)
        self._note(kv.key, before, kv.mod_revision)

    def _compact(self, command: KvCompact, current_revision: int, level: int) -> Done | Rejected:
        if command.revision > current_revision:
            return refuse(Reason.REVISION_IN_FUTURE, ("current", str(current_revision)))
        # In etcd one to revision 0 is one, as long as there was none.
        if command.revision <= (self._history.first if level >= 1 else self.compacted):
            return self._compacted_refusal()
        if level < 1:
            self._history.compact(command.revision)
        else:
            self._history.give_up_to(command.revision)
        return Done(current_revision)

    def _note(self, key: bytes, before: KeyValue | None, revision: int) -> None:
        self._history.record(revision, key, before)
        self._changed[key] = None
        if before is not None:
            self._live_bytes -= len(key) + len(before.value)


def _check_lease(put: KvPut) -> Rejected | None:
    if not put.lease:
        return None
    return refuse(Reason.LEASE_NOT_FOUND, ("lease", str(put.lease)))


def _put_over(command: KvPut, before: KeyValue | None, revision: int) -> KeyValue:
    key = command.key
    if before is None:
        return KeyValue(key, command.value, revision, revision, 1, 0)
    value = before.value if command.ignore_value else command.value
    return KeyValue(key, value, before.create_revision, revision, before.version + 1, 0)


def _put_on(draft: Draft, command: KvPut, revision: int, budget: Budget) -> KvPutReply:
    budget.write(1)
    before = draft.get(command.key)
    shown = before if command.prev_kv else None
    if shown is not None:
        budget.answer((shown,))
    draft.put(_put_over(command, before, revision))
    return KvPutReply(shown, revision)


def _delete_on(draft: Draft, command: KvDelete, revision: int, budget: Budget) -> KvDeleteReply:
    low, high = interval(command.key, command.range_end)
    budget.write(max(1, draft.count(low, high)))
    gone = tuple(draft.between(low, high))
    shown = gone if command.prev_kv else ()
    budget.answer(shown)
    for kv in gone:
        draft.delete(kv.key)
    return KvDeleteReply(len(gone), shown, _revision_of(draft, revision))


def _revision_of(draft: Draft, revision: int) -> int:
    """Of the state as the steps so far have left it."""
    return revision if draft.changed else revision - 1
