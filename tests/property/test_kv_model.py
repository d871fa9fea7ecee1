"""The key-value store against a dumb model that keeps every state there ever was."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KvCompact,
    KvCompare,
    KvDelete,
    KvOp,
    KvPut,
    KvRange,
    KvTxn,
    SortOrder,
    SortTarget,
)
from coord.core.kv.store import KvStore
from coord.core.validate import validate
from tests.support.kv_model import DumbKv

KEYS = [b"a", b"aa", b"ab", b"b", b"b\0", b"c", b"\xff", b"\0"]
keys = st.sampled_from(KEYS)
ends = st.one_of(st.just(b""), st.just(b"\0"), keys)
values = st.sampled_from([b"", b"x", b"y", b"zz"])
small = st.integers(-1, 12)
levels = st.sampled_from([0, 1])

ranges = st.builds(
    KvRange,
    key=keys,
    range_end=ends,
    limit=st.integers(-1, 4),
    revision=st.one_of(st.just(0), st.integers(-2, 14)),
    sort_order=st.sampled_from(SortOrder),
    sort_target=st.sampled_from(SortTarget),
    keys_only=st.booleans(),
    count_only=st.booleans(),
    min_mod_revision=st.one_of(st.just(0), st.integers(0, 8)),
    max_mod_revision=st.one_of(st.just(0), st.integers(0, 8)),
    min_create_revision=st.one_of(st.just(0), st.integers(0, 8)),
    max_create_revision=st.one_of(st.just(0), st.integers(0, 8)),
)
puts = st.one_of(
    st.builds(KvPut, key=keys, value=values, prev_kv=st.booleans()),
    st.builds(KvPut, key=keys, value=st.just(b""), ignore_value=st.just(True)),
    st.builds(KvPut, key=keys, value=values, ignore_lease=st.booleans(), lease=st.just(0)),
    st.builds(KvPut, key=keys, value=values, lease=st.just(7)),
)
deletes = st.builds(KvDelete, key=keys, range_end=ends, prev_kv=st.booleans())
compares = st.one_of(
    st.builds(
        KvCompare,
        key=keys,
        target=st.just(CompareTarget.VALUE),
        result=st.sampled_from(CompareResult),
        operand=values,
        range_end=ends,
    ),
    st.builds(
        KvCompare,
        key=keys,
        target=st.sampled_from([t for t in CompareTarget if t is not CompareTarget.VALUE]),
        result=st.sampled_from(CompareResult),
        operand=small,
        range_end=ends,
    ),
)


def txns(ops: st.SearchStrategy[KvOp]) -> st.SearchStrategy[KvTxn]:
    return st.builds(
        KvTxn,
        compare=st.lists(compares, max_size=2),
        success=st.lists(ops, max_size=4),
        failure=st.lists(ops, max_size=3),
    )


flat_ops = st.one_of(ranges, puts, deletes)
any_txn = txns(st.one_of(flat_ops, txns(st.one_of(flat_ops, txns(flat_ops)))))
compacts = st.builds(KvCompact, revision=st.integers(-1, 14))
steps = st.one_of(puts, puts, deletes, any_txn, any_txn, compacts, ranges, st.none())


def outcome(reply: object) -> object:
    return reply.reason if isinstance(reply, Rejected) else reply


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, min_size=5, max_size=25), st.lists(ranges, min_size=5, max_size=10), levels)
def test_every_reply_and_every_past_state_is_the_models(
    commands: list[object], reads: list[KvRange], level: int
) -> None:
    model, store, revision = DumbKv(level), KvStore(), 1
    for command in commands:
        if command is None:
            model.tick()
            revision += 1
        elif isinstance(command, KvRange):
            assert outcome(store.range(command, revision)) == model.range(command)
        elif validate(command, level) is None:  # type: ignore[arg-type]
            before = dict(model.now)
            reply, changed = store.apply(command, revision + 1, level)  # type: ignore[arg-type]
            assert outcome(reply) == model.apply(command)  # type: ignore[arg-type]
            revision += changed
            assert revision == model.revision
            touched = set(store.changed_keys)
            assert bool(touched) == changed
            assert {k for k in before | model.now if before.get(k) != model.now.get(k)} <= touched
            store.check(level)
    for past in range(max(1, model.compacted), model.revision + 1):
        for read in (
            KvRange(b"\0", b"\0", revision=past),
            *(KvRange(key, revision=past) for key in KEYS),
            *(replace(read, revision=past) for read in reads),
        ):
            assert outcome(store.range(read, revision)) == model.range(read)
    for read in reads:
        assert outcome(store.range(read, revision)) == model.range(read)
        now = replace(read, revision=0)
        assert outcome(store.range(now, revision)) == model.range(now)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(puts, deletes, any_txn), max_size=30), st.integers(1, 4), levels)
def test_bounded_history_answers_or_refuses_and_never_lies(
    commands: list[KvPut | KvDelete | KvTxn], bound: int, level: int
) -> None:
    model, store, revision = DumbKv(level), KvStore(replace(LIMITS, kv_history_revisions=bound)), 1
    for command in commands:
        if validate(command, level) is None:
            reply, changed = store.apply(command, revision + 1, level)
            if not (isinstance(reply, Rejected) and reply.reason is Reason.REVISION_COMPACTED):
                model.apply(command)
            revision += changed
            store.check(level)
            # A read within a transaction may name a revision that the model still has.
            model.compacted = store.compacted
            model.first = store._history.first
    assert revision - store.compacted >= min(bound, revision - 1)
    for past in range(1, revision + 1):
        read = KvRange(b"\0", b"\0", revision=past)
        assert outcome(store.range(read, revision)) == model.range(read)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(puts, deletes, any_txn, compacts), max_size=20), levels)
def test_a_store_rebuilt_from_its_rows_is_the_same(
    commands: list[KvPut | KvDelete | KvTxn | KvCompact],
    level: int,
) -> None:
    store, revision = KvStore(), 1
    for command in commands:
        if validate(command, level) is None:
            revision += store.apply(command, revision + 1, level)[1]
    other = KvStore()
    for old, new in zip(store.tables(), other.tables(), strict=True):
        new.load(old.row(key) for key in old)
    other.rebuild()
    other.check(level)
    assert other.compacted == store.compacted
    for past in range(revision + 2):
        read = KvRange(b"\0", b"\0", revision=past)
        assert other.range(read, revision) == store.range(read, revision)
    assert other.apply(KvPut(b"n", b"1"), revision + 1, level) == store.apply(
        KvPut(b"n", b"1"), revision + 1, level
    )


# ---- sizes: plain draws, as hypothesis would write every value out

LONGEST = b"n" * LIMITS.max_key_bytes
LARGE = b"v" * 65_536
BLOCK = [*(b"n%03d" % number for number in range(LIMITS.max_txn_ops - 1)), LONGEST]


def block(rng: random.Random) -> KvTxn | KvDelete:
    """As much as one transaction may do, or nearly."""
    keys = BLOCK[rng.choice((0, 0, 1, 400)) :]
    value = rng.choice((b"", b"x", LARGE))
    compare = KvCompare(keys[0], CompareTarget.VERSION, CompareResult.GREATER, 0)
    return rng.choice(
        (
            KvTxn([], [KvPut(key, value, prev_kv=True) for key in keys], []),
            KvTxn([], [KvRange(key) for key in keys], []),
            KvTxn([], [KvDelete(key, key + b"0", prev_kv=True) for key in keys[:100]], []),
            KvTxn([compare] * LIMITS.max_txn_ops, [KvPut(LONGEST, LARGE)], []),
            KvDelete(b"n", b"o", prev_kv=True),
        )
    )


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("seed", range(20))
def test_the_largest_transactions_are_the_models(seed: int, level: int) -> None:
    """From level 1 on, those whose answers would be too large change nothing."""
    rng = random.Random(seed)
    model, store, revision = DumbKv(level), KvStore(), 1
    for _ in range(12):
        command = block(rng)
        assert validate(command) is None
        reply, changed = store.apply(command, revision + 1, level)
        if outcome(reply) is Reason.TOO_LARGE:
            assert level
            assert not changed
            continue
        assert reply == model.apply(command)
        revision += changed
        assert revision == model.revision
    store.check(level)
    for past in range(1, revision + 1):
        read = KvRange(b"n", b"o", revision=past, limit=rng.choice((0, 511, 512)))
        found = outcome(store.range(read, revision))
        assert found in (model.range(read), Reason.TOO_LARGE)
