"""The key-value store, with the meaning of etcd v3's KV service.

Revisions are those of the whole state machine, so those of keys may have gaps. A command is checked
first and then carried out by steps that cannot fail; all changes of a transaction carry one
revision, and its reads see its own earlier writes. Commands have passed `coord.core.validate`.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from coord.core import commands as c
from coord.core import replies as r
from coord.core.invariants import invariant
from coord.core.kv_bounded import read_bounded
from coord.core.kv_history import KvHistory
from coord.core.kv_read import read_range, select
from coord.core.kv_txn import Plan, first_refusal, plan
from coord.core.limits import LIMITS, Limits
from coord.core.reasons import Reason
from coord.core.table import GivenRow, Row, Table

KvCommand = c.KvPut | c.KvDelete | c.KvTxn | c.KvCompact
KvReply = r.Rejected | r.Done | r.KvPutReply | r.KvDeleteReply | r.KvTxnReply

# The words of etcd, which its clients know.
_FUTURE: Final = "etcdserver: mvcc: required revision is a future revision"
_COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
_LEASE_NOT_FOUND: Final = "etcdserver: requested lease not found"
_KEY_NOT_FOUND: Final = "etcdserver: key not found"


def _encode(key: bytes, kv: r.KeyValue) -> Row:
    return tuple(kv)


def _decode(row: GivenRow) -> tuple[bytes, r.KeyValue]:
    kv = r.KeyValue(*row)
    return kv.key, kv


class KvStore:
    """Keys, their values and their bounded history.

    Invariants: 1 <= create_revision <= mod_revision; version counts the puts since creation."""

    __slots__ = ("_changed", "_history", "_live")

    def __init__(
        self,
        max_history_revisions: int = LIMITS.kv_history_revisions,
        max_history_bytes: int = LIMITS.kv_history_bytes,
    ) -> None:
        self._live: Table[bytes, r.KeyValue] = Table("kv", _encode, _decode)
        self._history = KvHistory(max_history_revisions, max_history_bytes)
        self._changed: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._live)

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
        self._changed.clear()

    def apply(self, command: KvCommand, revision: int) -> tuple[KvReply, bool]:
        """Carry out one command. `revision` is the next one; it is used up only if the second
        part of the result is True. Without it keys are as before (a compaction may have forgotten
        history)."""
        self._changed.clear()
        match command:
            case c.KvPut() | c.KvDelete():
                refused = self._check(command, revision - 1)
                reply: KvReply = refused or self._carry_out(command, revision)
            case c.KvTxn():
                chosen = plan(self._live, command)
                refused = first_refusal(chosen, lambda step: self._check(step, revision - 1))
                reply = refused or self._carry_out_plan(chosen, revision)
            case c.KvCompact():
                reply = self._compact(command, revision - 1)
            case _:
                assert_never(command)
        changed = bool(self._changed)
        if changed:
            self._history.trim()
        return reply, changed

    def range(
        self, command: c.KvRange, current_revision: int, limits: Limits = LIMITS
    ) -> r.KvRangeReply | r.Rejected:
        """Read at `command.revision`, or as of now if that is not positive.

        Refused with REVISION_IN_FUTURE, REVISION_COMPACTED or TOO_LARGE."""
        refused = self._check_revision(command.revision, current_revision)
        if refused is not None:
            return refused
        return read_bounded(self._live, self._history, command, current_revision, limits)

    def check(self) -> None:
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
        self._history.check()

    # ---- checks, before anything changes

    def _check(
        self, step: c.KvRange | c.KvPut | c.KvDelete, current_revision: int
    ) -> r.Rejected | None:
        match step:
            case c.KvRange():
                return self._check_revision(step.revision, current_revision)
            case c.KvPut():
                if (step.ignore_value or step.ignore_lease) and step.key not in self._live:
                    return r.Rejected(Reason.KEY_NOT_FOUND, _KEY_NOT_FOUND)
                if step.lease:
                    return r.Rejected(
                        Reason.LEASE_NOT_FOUND, _LEASE_NOT_FOUND, (("lease", str(step.lease)),)
                    )
                return None
            case c.KvDelete():
                return None
            case _:
                assert_never(step)

    def _check_revision(self, revision: int, current_revision: int) -> r.Rejected | None:
        if revision > current_revision:
            return r.Rejected(
                Reason.REVISION_IN_FUTURE, _FUTURE, (("current", str(current_revision)),)
            )
        if 0 < revision < self._history.compacted:
            return self._compacted_refusal()
        return None

    def _compacted_refusal(self) -> r.Rejected:
        return r.Rejected(
            Reason.REVISION_COMPACTED, _COMPACTED, (("compacted", str(self.compacted)),)
        )

    # ---- steps that cannot fail

    def _carry_out_plan(self, chosen: Plan, revision: int) -> r.KvTxnReply:
        replies = tuple(
            [
                self._carry_out_plan(step, revision)
                if isinstance(step, Plan)
                else self._carry_out_step(step, revision)
                for step in chosen.steps
            ]
        )
        return r.KvTxnReply(chosen.succeeded, replies, self._revision_now(revision))

    def _carry_out_step(
        self, step: c.KvRange | c.KvPut | c.KvDelete, revision: int
    ) -> r.KvRangeReply | r.KvPutReply | r.KvDeleteReply:
        if isinstance(step, c.KvRange):
            return read_range(self._live, self._history, step, self._revision_now(revision))
        return self._carry_out(step, revision)

    def _carry_out(
        self, step: c.KvPut | c.KvDelete, revision: int
    ) -> r.KvPutReply | r.KvDeleteReply:
        if isinstance(step, c.KvPut):
            return self._put(step, revision)
        return self._delete(step, revision)

    def _put(self, command: c.KvPut, revision: int) -> r.KvPutReply:
        key = command.key
        before = self._live.get(key)
        if before is None:
            self._live.insert(key, r.KeyValue(key, command.value, revision, revision, 1, 0))
        else:
            value = before.value if command.ignore_value else command.value
            self._live.replace(
                key,
                r.KeyValue(key, value, before.create_revision, revision, before.version + 1, 0),
            )
        self._note(key, before, revision)
        return r.KvPutReply(before if command.prev_kv else None, revision)

    def _delete(self, command: c.KvDelete, revision: int) -> r.KvDeleteReply:
        gone = tuple(select(self._live, command))
        for kv in gone:
            self._live.remove(kv.key)
            self._note(kv.key, kv, revision)
        return r.KvDeleteReply(
            len(gone), gone if command.prev_kv else (), self._revision_now(revision)
        )

    def _compact(self, command: c.KvCompact, current_revision: int) -> r.Done | r.Rejected:
        if command.revision > current_revision:
            return r.Rejected(
                Reason.REVISION_IN_FUTURE, _FUTURE, (("current", str(current_revision)),)
            )
        if command.revision <= self._history.compacted:
            return self._compacted_refusal()
        self._history.compact(command.revision)
        return r.Done(current_revision)

    def _note(self, key: bytes, before: r.KeyValue | None, revision: int) -> None:
        self._history.record(revision, key, before)
        self._changed[key] = None

    def _revision_now(self, revision: int) -> int:
        """Of the state as the steps so far have left it."""
        return revision if self._changed else revision - 1
