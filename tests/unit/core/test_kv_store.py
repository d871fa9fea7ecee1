"""The key-value store, case by case as etcd v3 answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from coord.core.base.invariants import InvariantViolation
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import Done
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
    SortTarget,
)
from coord.core.kv.store import KvCommand, KvReply, KvStore

ALL = b"\0"


class Store:
    """A store with the machine's side of the bargain: it hands out revisions."""

    level = 0

    def __init__(self, revision: int = 0, **bounds: int) -> None:
        self.kv = KvStore(replace(LIMITS, **bounds))
        self.revision = revision

    def do(self, command: KvCommand) -> KvReply:
        reply, changed = self.kv.apply(command, self.revision + 1, self.level)
        self.revision += changed
        self.kv.check(self.level)
        return reply

    def put(self, key: bytes, value: bytes = b"v") -> None:
        assert isinstance(self.do(KvPut(key, value)), KvPutReply)

    def txn(self, *success: KvOp, when: list[KvCompare] | None = None) -> KvReply:
        return self.do(KvTxn(when or [], list(success), []))

    def read(self, command: KvRange) -> KvRangeReply:
        reply = self.kv.range(command, self.revision)
        assert isinstance(reply, KvRangeReply)
        return reply

    def keys(self, command: KvRange) -> list[bytes]:
        return [kv.key for kv in self.read(command).kvs]

    def at(self, revision: int) -> dict[bytes, bytes]:
        return {kv.key: kv.value for kv in self.read(KvRange(ALL, ALL, revision=revision)).kvs}


@pytest.fixture(autouse=True, params=[0, 1])
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below its bounds the store answers the same at every level."""
    monkeypatch.setattr(Store, "level", request.param)


@pytest.fixture
def store() -> Store:
    """a=1 b=2 c=3 at revisions 1, 2, 3; then b again, at 4."""
    store = Store()
    for key, value in ((b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"b", b"0")):
        store.put(key, value)
    return store


def refused(reply: object) -> Reason:
    assert isinstance(reply, Rejected), reply
    return reply.reason


# ---- put


def test_revisions_and_versions_of_a_key() -> None:
    store = Store(revision=6)
    assert store.do(KvPut(b"k", b"1")) == KvPutReply(None, 7)
    first = KeyValue(b"k", b"1", 7, 7, 1, 0)
    assert store.do(KvPut(b"k", b"2", prev_kv=True)) == KvPutReply(first, 8)
    second = KeyValue(b"k", b"2", 7, 8, 2, 0)
    assert store.read(KvRange(b"k")).kvs == (second,)
    assert store.do(KvDelete(b"k", prev_kv=True)) == KvDeleteReply(1, (second,), 9)
    store.put(b"k", b"3")
    assert store.read(KvRange(b"k")).kvs == (KeyValue(b"k", b"3", 10, 10, 1, 0),)


def test_a_put_of_the_same_value_is_a_change() -> None:
    store = Store()
    store.put(b"k")
    store.put(b"k")
    assert store.read(KvRange(b"k")).kvs[0].version == 2
    assert store.revision == 2


def test_ignore_value_keeps_the_value(store: Store) -> None:
    store.do(KvPut(b"a", b"", ignore_value=True))
    assert store.read(KvRange(b"a")).kvs == (KeyValue(b"a", b"1", 1, 5, 2, 0),)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (KvPut(b"x", b"", ignore_value=True), Reason.KEY_NOT_FOUND),
        (KvPut(b"x", b"v", ignore_lease=True), Reason.KEY_NOT_FOUND),
        (KvPut(b"a", b"v", lease=7), Reason.LEASE_NOT_FOUND),
        (KvPut(b"a", b"v", lease=-1), Reason.LEASE_NOT_FOUND),
        (KvCompact(5), Reason.REVISION_IN_FUTURE),
        (KvCompact(-1), Reason.REVISION_COMPACTED),
    ],
)
def test_refusals_change_nothing(store: Store, command: KvCommand, reason: Reason) -> None:
    before = store.at(0)
    assert refused(store.do(command)) is reason
    assert refused(store.txn(KvPut(b"z", b"v"), command) if isinstance(command, KvPut) else
                   store.do(command)) is reason  # fmt: skip
    assert (store.at(0), store.revision, store.kv.changed_keys) == (before, 4, ())


def test_the_first_compaction_may_be_one_to_nothing(store: Store) -> None:
    first = store.do(KvCompact(0))
    assert first == Done(4) if store.level else refused(first) is Reason.REVISION_COMPACTED
    assert refused(store.do(KvCompact(0))) is Reason.REVISION_COMPACTED


BAD_PUT = KvPut(b"x", b"", ignore_value=True)
BOTH_BAD = KvPut(b"x", b"", lease=7, ignore_value=True)
NOT_YET = KvRange(b"a", revision=9)


@pytest.mark.parametrize(
    ("command", "since_1", "before"),
    [
        # Of all puts, then of all reads.
        (KvTxn([], [NOT_YET, BAD_PUT], []), Reason.KEY_NOT_FOUND, Reason.REVISION_IN_FUTURE),
        (
            KvTxn([], [KvTxn([], [NOT_YET], []), BAD_PUT], []),
            Reason.KEY_NOT_FOUND,
            Reason.REVISION_IN_FUTURE,
        ),
        # By itself the lease first, in a transaction the key.
        (BOTH_BAD, Reason.LEASE_NOT_FOUND, Reason.KEY_NOT_FOUND),
        (KvTxn([], [BOTH_BAD], []), Reason.KEY_NOT_FOUND, Reason.KEY_NOT_FOUND),
        (KvTxn([], [KvRange(b"a", revision=-2)], []), Reason.REVISION_COMPACTED, None),
        (KvTxn([], [KvRange(b"a", revision=-1)], []), None, None),
    ],
)
def test_the_first_of_several_faults_is_told(
    store: Store, command: KvCommand, since_1: Reason | None, before: Reason | None
) -> None:
    expected = since_1 if store.level else before
    reply = store.do(command)
    assert (reply.reason if isinstance(reply, Rejected) else None) is expected


def test_a_limit_and_a_sort_target_without_an_order(store: Store) -> None:
    """From level 1 on the first keys are taken, one more than the limit, and those are sorted."""
    store.put(b"a")
    store.do(KvPut(b"c", b"0"))
    by_version = KvRange(ALL, ALL, limit=1, sort_target=SortTarget.MOD)
    reply = store.txn(by_version)
    assert isinstance(reply, KvTxnReply)
    (read,) = reply.responses
    assert isinstance(read, KvRangeReply)
    assert ([kv.key for kv in read.kvs], read.more, read.total) == ([b"b"], True, 3)
    store.put(b"b")
    reply = store.txn(replace(by_version, limit=1))
    assert isinstance(reply, KvTxnReply)
    (read,) = reply.responses
    assert isinstance(read, KvRangeReply)
    # a was changed at 5, b at 7, c at 6: of a and b it is a; of all three too.
    assert [kv.key for kv in read.kvs] == [b"a"]
    store.put(b"a")
    reply = store.txn(by_version)
    assert isinstance(reply, KvTxnReply)
    (read,) = reply.responses
    assert isinstance(read, KvRangeReply)
    # a at 8, b at 7, c at 6.
    assert [kv.key for kv in read.kvs] == ([b"b"] if store.level else [b"c"])


# ---- delete


@pytest.mark.parametrize(
    ("command", "gone"),
    [
        (KvDelete(b"a"), [b"a"]),
        (KvDelete(b"x"), []),
        (KvDelete(b"a", b"c"), [b"a", b"b"]),
        (KvDelete(b"b", ALL), [b"b", b"c"]),
        (KvDelete(ALL, ALL), [b"a", b"b", b"c"]),
        (KvDelete(b"c", b"a"), []),
        (KvDelete(b"b", b"b"), []),
    ],
)
def test_delete(store: Store, command: KvDelete, gone: list[bytes]) -> None:
    reply = store.do(command)
    changed = bool(gone)
    assert reply == KvDeleteReply(len(gone), (), 4 + changed)
    assert store.revision == 4 + changed
    assert list(store.kv.changed_keys) == gone
    assert store.keys(KvRange(ALL, ALL)) == [k for k in (b"a", b"b", b"c") if k not in gone]


# ---- range


@pytest.mark.parametrize(
    ("command", "keys", "more", "total"),
    [
        (KvRange(b"b"), "b", False, 1),
        (KvRange(b"x"), "", False, 0),
        (KvRange(b"a", b"c"), "ab", False, 2),
        (KvRange(b"b", ALL), "bc", False, 2),
        (KvRange(b"c", b"a"), "", False, 0),
        (KvRange(ALL, ALL), "abc", False, 3),
        (KvRange(ALL, ALL, limit=2), "ab", True, 3),
        (KvRange(ALL, ALL, limit=3), "abc", False, 3),
        (KvRange(ALL, ALL, limit=2, sort_order=SortOrder.DESCEND), "cb", True, 3),
        (KvRange(ALL, ALL, limit=3, sort_order=SortOrder.DESCEND), "cba", False, 3),
        (KvRange(ALL, ALL, sort_target=SortTarget.MOD), "acb", False, 3),
        (KvRange(ALL, ALL, sort_target=SortTarget.VALUE), "bac", False, 3),
        (KvRange(ALL, ALL, sort_target=SortTarget.CREATE), "abc", False, 3),
        (
            KvRange(ALL, ALL, sort_target=SortTarget.VERSION, sort_order=SortOrder.DESCEND),
            "bac",
            False,
            3,
        ),
        (KvRange(ALL, ALL, min_mod_revision=3), "bc", False, 3),
        (KvRange(ALL, ALL, max_mod_revision=3), "ac", False, 3),
        (KvRange(ALL, ALL, min_create_revision=2), "bc", False, 3),
        (KvRange(ALL, ALL, max_create_revision=2), "ab", False, 3),
        (KvRange(ALL, ALL, min_mod_revision=3, limit=1), "b", True, 3),
        (KvRange(ALL, ALL, count_only=True), "", False, 3),
        (KvRange(b"b", ALL, count_only=True, limit=1), "", False, 2),
        (KvRange(ALL, ALL, count_only=True, revision=2), "", False, 2),
        (KvRange(ALL, ALL, revision=2), "ab", False, 2),
        (KvRange(ALL, ALL, revision=2, limit=1), "a", True, 2),
        (KvRange(ALL, ALL, revision=-3), "abc", False, 3),
        (KvRange(b"a", b"a"), "", False, 0),
    ],
)
def test_range(store: Store, command: KvRange, keys: str, more: bool, total: int) -> None:
    reply = store.read(command)
    assert b"".join(kv.key for kv in reply.kvs).decode() == keys
    assert (reply.more, reply.total, reply.revision) == (more, total, 4)


def test_keys_only_leaves_everything_but_the_value(store: Store) -> None:
    reply = store.read(KvRange(b"b", keys_only=True, sort_target=SortTarget.VALUE))
    assert reply.kvs == (KeyValue(b"b", b"", 2, 4, 2, 0),)


def test_a_prefix_that_ends_in_ff() -> None:
    store = Store()
    for key in (b"\xfe", b"\xff", b"\xff\x01", b"\xff\xff"):
        store.put(key)
    assert store.keys(KvRange(b"\xff", ALL)) == [b"\xff", b"\xff\x01", b"\xff\xff"]


def test_past_states_stay_readable(store: Store) -> None:
    store.do(KvDelete(b"a"))
    store.put(b"a", b"again")
    assert [store.at(revision) for revision in range(1, 7)] == [
        {b"a": b"1"},
        {b"a": b"1", b"b": b"2"},
        {b"a": b"1", b"b": b"2", b"c": b"3"},
        {b"a": b"1", b"b": b"0", b"c": b"3"},
        {b"b": b"0", b"c": b"3"},
        {b"a": b"again", b"b": b"0", b"c": b"3"},
    ]
    assert store.read(KvRange(b"b", revision=3)).kvs == (KeyValue(b"b", b"2", 2, 2, 1, 0),)
    assert store.read(KvRange(b"b", revision=4)).kvs == (KeyValue(b"b", b"0", 2, 4, 2, 0),)
    assert store.read(KvRange(b"a", revision=5)).kvs == ()
    assert store.read(KvRange(b"b", revision=3)).revision == 6
    assert refused(store.kv.range(KvRange(b"b", revision=7), 6)) is Reason.REVISION_IN_FUTURE


# ---- compaction


def test_compaction_forgets_the_past_and_nothing_else(store: Store) -> None:
    assert store.do(KvCompact(3)) == Done(4)
    assert store.revision == 4
    assert refused(store.kv.range(KvRange(b"a", revision=2), 4)) is Reason.REVISION_COMPACTED
    assert store.at(3) == {b"a": b"1", b"b": b"2", b"c": b"3"}
    assert store.at(0) == {b"a": b"1", b"b": b"0", b"c": b"3"}
    assert refused(store.do(KvCompact(3))) is Reason.REVISION_COMPACTED
    assert store.do(KvCompact(4)) == Done(4)
    assert store.kv.compacted == 4


def test_history_is_bounded_in_revisions() -> None:
    store = Store(kv_history_revisions=2)
    for number in range(6):
        store.put(b"k%d" % (number % 2), b"%d" % number)
    assert store.kv.compacted == 4
    assert store.at(4) == {b"k0": b"2", b"k1": b"3"}
    reply = store.kv.range(KvRange(b"k0", revision=3), 6)
    assert reply == Rejected(
        Reason.REVISION_COMPACTED,
        metadata=(("compacted", "4"),),
    )


def test_history_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "level", 0)
    store = Store(kv_history_bytes=1_000)
    for _ in range(6):
        store.put(b"k", b"x" * 300)
    assert store.kv.compacted == 3
    store.put(b"k", b"x" * 5_000)
    assert store.kv.compacted == 4
    store.put(b"k", b"")
    assert store.kv.compacted == 8
    assert store.at(8) == {b"k": b""}


# ---- transactions


def compare(key: bytes, target: CompareTarget, result: str, operand: int | bytes,
            end: bytes = b"") -> KvCompare:  # fmt: skip
    results = {
        "=": CompareResult.EQUAL,
        "!": CompareResult.NOT_EQUAL,
        ">": CompareResult.GREATER,
        "<": CompareResult.LESS,
    }
    return KvCompare(key, target, results[result], operand, end)


V, CR, M, VAL, L = CompareTarget


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (compare(b"b", V, "=", 2), True),
        (compare(b"b", V, ">", 2), False),
        (compare(b"b", V, "<", 3), True),
        (compare(b"b", V, "!", 1), True),
        (compare(b"b", CR, "=", 2), True),
        (compare(b"b", M, "=", 4), True),
        (compare(b"b", VAL, "=", b"0"), True),
        (compare(b"b", VAL, ">", b""), True),
        (compare(b"b", VAL, "<", b"0"), False),
        (compare(b"b", L, "=", 0), True),
        (compare(b"x", V, "=", 0), True),
        (compare(b"x", CR, "=", 0), True),
        (compare(b"x", M, ">", 0), False),
        (compare(b"x", L, "=", 0), True),
        (compare(b"x", VAL, "=", b""), False),
        (compare(b"x", VAL, "!", b"y"), False),
        (compare(b"a", V, ">", 0, ALL), True),
        (compare(b"a", V, "=", 1, ALL), False),
        (compare(b"x", V, "=", 0, ALL), True),
        (compare(b"x", VAL, "!", b"", ALL), False),
        (compare(b"c", V, "=", 0, b"a"), True),
    ],
)
def test_comparisons(store: Store, one: KvCompare, holds: bool) -> None:
    reply = store.do(KvTxn([one], [], []))
    assert reply == KvTxnReply(holds, (), 4)
    assert store.revision == 4


def test_all_comparisons_must_hold(store: Store) -> None:
    good, bad = compare(b"a", V, "=", 1), compare(b"a", V, "=", 2)
    assert store.do(KvTxn([good, bad], [KvPut(b"t", b"")], [KvDelete(b"a")])) == KvTxnReply(
        False, (KvDeleteReply(1, (), 5),), 5
    )


def test_changes_of_a_transaction_share_a_revision_and_are_seen_by_its_reads(store: Store) -> None:
    reply = store.txn(
        KvRange(ALL, ALL, keys_only=True),
        KvPut(b"d", b"4"),
        KvDelete(b"a"),
        KvRange(ALL, ALL, count_only=True),
        KvRange(b"d"),
        KvRange(b"d", revision=4),
    )
    assert isinstance(reply, KvTxnReply)
    first, put, deleted, count, written, past = reply.responses
    assert isinstance(first, KvRangeReply)
    assert (len(first.kvs), first.revision) == (3, 4)
    assert put == KvPutReply(None, 5)
    assert deleted == KvDeleteReply(1, (), 5)
    assert count == KvRangeReply((), False, 3, 5)
    assert written == KvRangeReply((KeyValue(b"d", b"4", 5, 5, 1, 0),), False, 1, 5)
    assert past == KvRangeReply((), False, 0, 5)
    assert (store.revision, reply.revision) == (5, 5)
    assert store.kv.changed_keys == (b"d", b"a")


def test_a_transaction_that_only_reads_takes_no_revision(store: Store) -> None:
    reply = store.txn(KvRange(b"a"), KvDelete(b"x"), KvTxn([], [KvRange(b"b")], []))
    assert isinstance(reply, KvTxnReply)
    assert reply.revision == store.revision == 4


def test_nested_comparisons_see_the_state_before_the_transaction(store: Store) -> None:
    nested = KvTxn([compare(b"new", V, "=", 0)], [KvPut(b"then", b"")], [KvPut(b"else", b"")])
    reply = store.txn(KvPut(b"new", b"1"), nested)
    assert reply == KvTxnReply(
        True, (KvPutReply(None, 5), KvTxnReply(True, (KvPutReply(None, 5),), 5)), 5
    )


@pytest.mark.parametrize(
    "bad",
    [
        KvPut(b"x", b"", ignore_value=True),
        KvPut(b"x", b"", lease=1),
        KvRange(b"a", revision=9),
        KvTxn([], [KvRange(b"a", revision=1)], []),
        KvTxn([], [KvTxn([], [KvPut(b"x", b"", lease=1)], [])], []),
    ],
)
def test_a_transaction_with_a_bad_step_does_nothing(store: Store, bad: KvOp) -> None:
    store.do(KvCompact(2))
    assert isinstance(store.txn(KvPut(b"a", b"changed"), KvDelete(b"b"), bad), Rejected)
    assert (store.at(0), store.revision) == ({b"a": b"1", b"b": b"0", b"c": b"3"}, 4)


def test_a_bad_step_in_the_branch_not_taken_does_not_matter(store: Store) -> None:
    assert isinstance(store.do(KvTxn([], [], [KvPut(b"x", b"", lease=1)])), KvTxnReply)


def test_a_key_put_and_deleted_in_one_transaction_leaves_its_past(store: Store) -> None:
    store.txn(KvTxn([], [KvPut(b"a", b"x")], []), KvTxn([], [KvDelete(b"a")], []))
    assert b"a" not in store.at(0)
    assert store.at(4)[b"a"] == b"1"
    assert store.kv.changed_keys == (b"a",)


# ---- invariants


@pytest.mark.parametrize(
    "damage",
    [
        lambda kv: kv._live.replace(b"a", KeyValue(b"b", b"", 1, 1, 1, 0)),
        lambda kv: kv._live.replace(b"a", KeyValue(b"a", b"", 2, 1, 1, 0)),
        lambda kv: kv._live.replace(b"a", KeyValue(b"a", b"", 1, 1, 2, 0)),
        lambda kv: kv._history._rows.remove((4, b"b")),
        lambda kv: kv._history._set_compacted(4),
        lambda kv: kv._history._rows.insert((9, b"z"), None),
    ],
)
def test_check_finds_damage(store: Store, damage: Callable[[KvStore], None]) -> None:
    store.kv.check()
    damage(store.kv)
    with pytest.raises(InvariantViolation):
        store.kv.check()
