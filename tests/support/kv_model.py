"""A deliberately dumb key-value store: a whole copy of the state per revision, nothing shared with
the real one."""

from __future__ import annotations

from collections.abc import Iterator

from coord.core.base.refusal import Reason
from coord.core.base.request import Done
from coord.core.batch import Command
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KeyValue,
    KvCompact,
    KvCompare,
    KvDelete,
    KvDeleteReply,
    KvOp,
    KvPut,
    KvPutReply,
    KvRange,
    KvRangeReply,
    KvTxn,
    KvTxnReply,
    SortOrder,
)

State = dict[bytes, KeyValue]


class DumbKv:
    """From level 1 on it follows etcd where the first release did not."""

    def __init__(self, level: int = 0) -> None:
        self.level = level
        self.first = -1 if level else 0
        self.revision = 1
        self.compacted = 0
        self.states: dict[int, State] = {1: {}}

    @property
    def now(self) -> State:
        return self.states[self.revision]

    def tick(self) -> None:
        """Something else takes a revision."""
        self.states[self.revision + 1] = dict(self.now)
        self.revision += 1

    def apply(self, command: Command) -> object:
        """The reply, or the Reason of a refusal."""
        if isinstance(command, KvCompact):
            if command.revision > self.revision:
                return Reason.REVISION_IN_FUTURE
            if command.revision <= self.first:
                return Reason.REVISION_COMPACTED
            self.first = self.compacted = command.revision
            return Done(self.revision)
        draft = _Draft(self)
        try:
            if self.level:
                draft.check_put_first(command)
            else:
                draft.check(command)
        except _RefusedError as refused:
            return refused.reason
        draft.in_command = True
        reply = draft.run(command)
        if draft.wrote:
            self.revision += 1
            self.states[self.revision] = draft.state
        return reply

    def range(self, command: KvRange) -> object:
        draft = _Draft(self)
        try:
            draft.check(command)
        except _RefusedError as refused:
            return refused.reason
        return draft.run(command)


class _RefusedError(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def inside(key: bytes, begin: bytes, end: bytes) -> bool:
    if not end:
        return key == begin
    return key >= begin and (end == b"\0" or key < end)


class _Draft:
    def __init__(self, store: DumbKv) -> None:
        self.store = store
        self.before = store.now
        self.state = dict(store.now)
        self.wrote = False
        self.next = store.revision + 1
        self.in_command = False

    def revision(self) -> int:
        return self.next if self.wrote else self.next - 1

    def taken(self, txn: KvTxn) -> tuple[bool, list[KvOp]]:
        good = all(self.holds(compare) for compare in txn.compare)
        return good, txn.success if good else txn.failure

    def holds(self, compare: KvCompare) -> bool:
        found = [
            kv for key, kv in self.before.items() if inside(key, compare.key, compare.range_end)
        ]
        if not found and compare.target is CompareTarget.VALUE:
            return False
        for kv in found or [KeyValue(b"", b"", 0, 0, 0, 0)]:
            have = {
                CompareTarget.VERSION: kv.version,
                CompareTarget.CREATE: kv.create_revision,
                CompareTarget.MOD: kv.mod_revision,
                CompareTarget.VALUE: kv.value,
                CompareTarget.LEASE: kv.lease,
            }[compare.target]
            want: object = compare.operand
            verdict = {
                CompareResult.EQUAL: have == want,
                CompareResult.NOT_EQUAL: have != want,
                CompareResult.GREATER: have > want,  # type: ignore[operator]
                CompareResult.LESS: have < want,  # type: ignore[operator]
            }[compare.result]
            if not verdict:
                return False
        return True

    def check(self, op: object) -> None:
        if isinstance(op, KvTxn):
            for nested in self.taken(op)[1]:
                self.check(nested)
        elif isinstance(op, KvRange):
            if op.revision > self.store.revision:
                raise _RefusedError(Reason.REVISION_IN_FUTURE)
            if 0 < op.revision < self.store.compacted:
                raise _RefusedError(Reason.REVISION_COMPACTED)
        elif isinstance(op, KvPut):
            if (op.ignore_value or op.ignore_lease) and op.key not in self.before:
                raise _RefusedError(Reason.KEY_NOT_FOUND)
            if op.lease:
                raise _RefusedError(Reason.LEASE_NOT_FOUND)

    def check_put_first(self, op: object) -> None:
        if isinstance(op, KvPut):
            if op.lease:
                raise _RefusedError(Reason.LEASE_NOT_FOUND)
            self.check(op)
            return
        steps = list(self.steps(op))
        for step in steps:
            if isinstance(step, KvPut):
                self.check(step)
        for step in steps:
            if isinstance(step, KvRange) and step.revision:
                if step.revision < self.store.first:
                    raise _RefusedError(Reason.REVISION_COMPACTED)
                self.check(step)

    def steps(self, op: object) -> Iterator[object]:
        if isinstance(op, KvTxn):
            for nested in self.taken(op)[1]:
                yield from self.steps(nested)
        else:
            yield op

    def run(self, op: object) -> object:
        if isinstance(op, KvTxn):
            good, branch = self.taken(op)
            answers = tuple(self.run(nested) for nested in branch)
            return KvTxnReply(good, answers, self.revision())  # type: ignore[arg-type]
        if isinstance(op, KvRange):
            return self.read(op)
        if isinstance(op, KvPut):
            return self.put(op)
        assert isinstance(op, KvDelete)
        gone = tuple(
            self.state[key] for key in sorted(self.state) if inside(key, op.key, op.range_end)
        )
        for kv in gone:
            del self.state[kv.key]
            self.wrote = True
        return KvDeleteReply(len(gone), gone if op.prev_kv else (), self.revision())

    def put(self, op: KvPut) -> KvPutReply:
        old = self.state.get(op.key)
        value = old.value if op.ignore_value and old else op.value
        self.state[op.key] = KeyValue(
            op.key,
            value,
            old.create_revision if old else self.next,
            self.next,
            old.version + 1 if old else 1,
            0,
        )
        self.wrote = True
        return KvPutReply(old if op.prev_kv else None, self.next)

    def read(self, op: KvRange) -> KvRangeReply:
        state = self.store.states[op.revision] if op.revision > 0 else self.state
        kvs = [state[key] for key in sorted(state) if inside(key, op.key, op.range_end)]
        total = len(kvs)
        if op.count_only:
            return KvRangeReply((), False, total, self.revision())
        kvs = [
            kv
            for kv in kvs
            if (not op.min_mod_revision or kv.mod_revision >= op.min_mod_revision)
            and (not op.max_mod_revision or kv.mod_revision <= op.max_mod_revision)
            and (not op.min_create_revision or kv.create_revision >= op.min_create_revision)
            and (not op.max_create_revision or kv.create_revision <= op.max_create_revision)
        ]
        filtered = (
            op.min_mod_revision
            or op.max_mod_revision
            or op.min_create_revision
            or op.max_create_revision
        )
        no_order = op.sort_order is SortOrder.NONE and not filtered
        if no_order and op.limit > 0 and (self.store.level or not self.in_command):
            kvs = kvs[: op.limit + 1]
        kvs.sort(key=lambda kv: kv[(0, 4, 2, 3, 1)[op.sort_target]])
        if op.sort_order is SortOrder.DESCEND:
            kvs.sort(key=lambda kv: kv[(0, 4, 2, 3, 1)[op.sort_target]], reverse=True)
        more = 0 < op.limit < len(kvs)
        if more:
            kvs = kvs[: op.limit]
        if op.keys_only:
            kvs = [kv._replace(value=b"") for kv in kvs]
        return KvRangeReply(tuple(kvs), more, total, self.revision())
