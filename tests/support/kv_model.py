"""A deliberately dumb key-value store: a whole copy of the state per revision, nothing shared with
the real one."""

from __future__ import annotations

from coord.core import commands as c
from coord.core import replies as r
from coord.core.reasons import Reason

State = dict[bytes, r.KeyValue]


class DumbKv:
    def __init__(self) -> None:
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

    def apply(self, command: c.Command) -> object:
        """The reply, or the Reason of a refusal."""
        if isinstance(command, c.KvCompact):
            if command.revision > self.revision:
                return Reason.REVISION_IN_FUTURE
            if command.revision <= self.compacted:
                return Reason.REVISION_COMPACTED
            self.compacted = command.revision
            return r.Done(self.revision)
        draft = _Draft(self)
        try:
            draft.check(command)
        except _RefusedError as refused:
            return refused.reason
        reply = draft.run(command)
        if draft.wrote:
            self.revision += 1
            self.states[self.revision] = draft.state
        return reply

    def range(self, command: c.KvRange) -> object:
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

    def revision(self) -> int:
        return self.next if self.wrote else self.next - 1

    def taken(self, txn: c.KvTxn) -> tuple[bool, list[c.KvOp]]:
        good = all(self.holds(compare) for compare in txn.compare)
        return good, txn.success if good else txn.failure

    def holds(self, compare: c.KvCompare) -> bool:
        found = [
            kv for key, kv in self.before.items() if inside(key, compare.key, compare.range_end)
        ]
        if not found and compare.target is c.CompareTarget.VALUE:
            return False
        for kv in found or [r.KeyValue(b"", b"", 0, 0, 0, 0)]:
            have = {
                c.CompareTarget.VERSION: kv.version,
                c.CompareTarget.CREATE: kv.create_revision,
                c.CompareTarget.MOD: kv.mod_revision,
                c.CompareTarget.VALUE: kv.value,
                c.CompareTarget.LEASE: kv.lease,
            }[compare.target]
            want: object = compare.operand
            verdict = {
                c.CompareResult.EQUAL: have == want,
                c.CompareResult.NOT_EQUAL: have != want,
                c.CompareResult.GREATER: have > want,  # type: ignore[operator]
                c.CompareResult.LESS: have < want,  # type: ignore[operator]
            }[compare.result]
            if not verdict:
                return False
        return True

    def check(self, op: object) -> None:
        if isinstance(op, c.KvTxn):
            for nested in self.taken(op)[1]:
                self.check(nested)
        elif isinstance(op, c.KvRange):
            if op.revision > self.store.revision:
                raise _RefusedError(Reason.REVISION_IN_FUTURE)
            if 0 < op.revision < self.store.compacted:
                raise _RefusedError(Reason.REVISION_COMPACTED)
        elif isinstance(op, c.KvPut):
            if (op.ignore_value or op.ignore_lease) and op.key not in self.before:
                raise _RefusedError(Reason.KEY_NOT_FOUND)
            if op.lease:
                raise _RefusedError(Reason.LEASE_NOT_FOUND)

    def run(self, op: object) -> object:
        if isinstance(op, c.KvTxn):
            good, branch = self.taken(op)
            answers = tuple(self.run(nested) for nested in branch)
            return r.KvTxnReply(good, answers, self.revision())  # type: ignore[arg-type]
        if isinstance(op, c.KvRange):
            return self.read(op)
        if isinstance(op, c.KvPut):
            return self.put(op)
        assert isinstance(op, c.KvDelete)
        gone = tuple(
            self.state[key] for key in sorted(self.state) if inside(key, op.key, op.range_end)
        )
        for kv in gone:
            del self.state[kv.key]
            self.wrote = True
        return r.KvDeleteReply(len(gone), gone if op.prev_kv else (), self.revision())

    def put(self, op: c.KvPut) -> r.KvPutReply:
        old = self.state.get(op.key)
        value = old.value if op.ignore_value and old else op.value
        self.state[op.key] = r.KeyValue(
            op.key,
            value,
            old.create_revision if old else self.next,
            self.next,
            old.version + 1 if old else 1,
            0,
        )
        self.wrote = True
        return r.KvPutReply(old if op.prev_kv else None, self.next)

    def read(self, op: c.KvRange) -> r.KvRangeReply:
        state = self.store.states[op.revision] if op.revision > 0 else self.state
        kvs = [state[key] for key in sorted(state) if inside(key, op.key, op.range_end)]
        total = len(kvs)
        if op.count_only:
            return r.KvRangeReply((), False, total, self.revision())
        kvs = [
            kv
            for kv in kvs
            if (not op.min_mod_revision or kv.mod_revision >= op.min_mod_revision)
            and (not op.max_mod_revision or kv.mod_revision <= op.max_mod_revision)
            and (not op.min_create_revision or kv.create_revision >= op.min_create_revision)
            and (not op.max_create_revision or kv.create_revision <= op.max_create_revision)
        ]
        kvs.sort(key=lambda kv: kv[(0, 4, 2, 3, 1)[op.sort_target]])
        if op.sort_order is c.SortOrder.DESCEND:
            kvs.sort(key=lambda kv: kv[(0, 4, 2, 3, 1)[op.sort_target]], reverse=True)
        more = 0 < op.limit < len(kvs)
        if more:
            kvs = kvs[: op.limit]
        if op.keys_only:
            kvs = [kv._replace(value=b"") for kv in kvs]
        return r.KvRangeReply(tuple(kvs), more, total, self.revision())
