"""Reads that look at a bounded number of keys give what unbounded ones give, or are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected
from coord.core.kv.budget import read_budget
from coord.core.kv.commands import KvDelete, KvPut, KvRange, KvRangeReply, SortOrder, SortTarget
from coord.core.kv.draft import Draft
from coord.core.kv.reads import read_range
from coord.core.kv.store import KvStore

FEW = replace(LIMITS, max_range_keys=50)


class Store:
    """A store, and the revision it is at."""

    def __init__(self) -> None:
        self.kv = KvStore()
        self.revision = 0

    def apply(self, command: KvPut | KvDelete) -> None:
        _, changed = self.kv.apply(command, self.revision + 1, 1)
        self.revision += changed

    def put(self, key: bytes, value: bytes = b"v") -> None:
        self.apply(KvPut(key, value, 0, False, False, False))

    def delete(self, key: bytes) -> None:
        self.apply(KvDelete(key, b"", False))

    def read(self, command: KvRange, limits: object = LIMITS) -> KvRangeReply | Rejected:
        return self.kv.range(command, self.revision, limits)  # type: ignore[arg-type]

    def unbounded(self, command: KvRange) -> KvRangeReply:
        huge = replace(LIMITS, max_range_keys=1 << 40, max_answer_bytes=1 << 40)
        draft, budget = Draft(self.kv._live), read_budget(huge)
        return read_range(draft, self.kv._history, command, self.revision, budget)


def numbered(number: int) -> bytes:
    return b"k%06d" % number


def ranged(low: bytes, high: bytes, limit: int = 0, revision: int = 0, **more: Any) -> KvRange:
    return KvRange(low, high, limit, revision, **more)


KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
STEPS = st.lists(st.tuples(st.booleans(), KEYS, st.binary(max_size=3)), max_size=60)


@given(
    STEPS,
    KEYS,
    st.one_of(st.just(b""), st.just(b"\0"), KEYS),
    st.integers(0, 7),
    st.integers(0, 60),
    st.sampled_from(list(SortOrder)),
    st.sampled_from(list(SortTarget)),
    st.booleans(),
    st.booleans(),
)
def test_bounded_reads_are_as_unbounded_ones(
    steps: list[tuple[bool, bytes, bytes]],
    low: bytes,
    high: bytes,
    limit: int,
    revision: int,
    order: SortOrder,
    target: SortTarget,
    keys_only: bool,
    count_only: bool,
) -> None:
    store = Store()
    for puts, key, value in steps:
        if puts:
            store.put(key, value)
        else:
            store.delete(key)
    command = KvRange(
        low, high, limit, min(revision, store.revision), order, target, keys_only, count_only,
        0, 0, 0, 0,
    )  # fmt: skip
    assert store.read(command) == store.unbounded(command)


def test_a_page_of_an_old_revision_costs_what_it_shows() -> None:
    """The interval has a hundred times as many keys and changes as the page may look at."""
    store = Store()
    for number in range(5_000):
        store.put(numbered(number), b"old")
    at = store.revision
    for number in range(0, 5_000, 500):
        store.put(numbered(number), b"new")
    shown, after = [], numbered(0)
    while True:
        page = store.read(ranged(after, b"l", 10, at), FEW)
        assert isinstance(page, KvRangeReply), page
        assert page.total == 5_000 - len(shown)
        shown += [kv.value for kv in page.kvs]
        after = page.kvs[-1].key + b"\0"
        if len(shown) > 520:
            break
    assert set(shown) == {b"old"}


def test_a_key_that_changed_very_often_does_not_make_a_page_long() -> None:
    store = Store()
    store.put(b"a")
    store.put(b"c")
    at = store.revision
    for _ in range(10_000):
        store.put(b"b")
        store.put(b"c")
    few = replace(FEW, max_range_keys=20_100)  # the count looks at the changes since
    page = store.read(ranged(b"a", b"d", 2, at), few)
    assert isinstance(page, KvRangeReply)
    assert [kv.key for kv in page.kvs] == [b"a", b"c"]


def test_keys_at_the_bound_are_read_and_one_more_is_refused() -> None:
    store = Store()
    for number in range(FEW.max_range_keys):
        store.put(numbered(number))
    everything = ranged(b"k", b"l")
    full = store.read(everything, FEW)
    assert isinstance(full, KvRangeReply)
    assert len(full.kvs) == FEW.max_range_keys
    store.put(numbered(FEW.max_range_keys))
    for refused in (everything, ranged(b"k", b"l", sort_order=SortOrder.DESCEND)):
        reply = store.read(refused, FEW)
        assert isinstance(reply, Rejected)
        assert reply.reason is Reason.TOO_LARGE
        assert dict(reply.metadata)["limit"] == "50"
    assert isinstance(store.read(ranged(b"k", b"l", FEW.max_range_keys), FEW), KvRangeReply)
    count = store.read(ranged(b"k", b"l", count_only=True), FEW)
    assert isinstance(count, KvRangeReply)
    assert count.total == FEW.max_range_keys + 1


def test_bytes_at_the_bound_are_read_and_one_more_is_refused() -> None:
    store = Store()
    store.put(b"k1", bytes(100))
    store.put(b"k2", bytes(100))
    exact = replace(LIMITS, max_answer_bytes=2 * (102 + 48))
    assert isinstance(store.read(ranged(b"k", b"l"), exact), KvRangeReply)
    store.put(b"k2", bytes(101))
    reply = store.read(ranged(b"k", b"l"), exact)
    assert isinstance(reply, Rejected)
    assert reply.reason is Reason.TOO_LARGE
    assert isinstance(store.read(ranged(b"k", b"l", keys_only=True), exact), KvRangeReply)
    assert isinstance(store.read(ranged(b"k", b"l", 1), exact), KvRangeReply)


def test_a_count_at_an_old_revision_that_needs_too_much_is_refused() -> None:
    store = Store()
    store.put(numbered(0))
    at = store.revision
    for number in range(60):
        store.put(numbered(number))
    reply = store.read(ranged(b"k", b"l", revision=at, count_only=True), FEW)
    assert isinstance(reply, Rejected)
    few_there = store.read(ranged(b"k", numbered(10), revision=at, count_only=True), FEW)
    assert isinstance(few_there, KvRangeReply)
    assert few_there.total == 1
