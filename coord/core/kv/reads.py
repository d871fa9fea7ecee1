"""Range reads: which keys, at which revision, in which order (etcd v3's RangeRequest)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, Final

from coord.core.kv.bounds import FROM_KEY_ON
from coord.core.kv.budget import Budget
from coord.core.kv.commands import KeyValue, KvRange, KvRangeReply, SortOrder, SortTarget
from coord.core.kv.draft import Draft, Live
from coord.core.kv.history import KvHistory

_SORT_KEY: Final[dict[SortTarget, Callable[[KeyValue], Any]]] = {
    SortTarget.KEY: lambda kv: kv.key,
    SortTarget.VERSION: lambda kv: kv.version,
    SortTarget.CREATE: lambda kv: kv.create_revision,
    SortTarget.MOD: lambda kv: kv.mod_revision,
    SortTarget.VALUE: lambda kv: kv.value,
}


class KeysNow:
    """The keys as a draft has them."""

    def __init__(self, draft: Draft, command: KvRange) -> None:
        self._draft = draft
        self._low, self._high = interval(command.key, command.range_end)
        self.total = draft.count(self._low, self._high)

    def walk(self) -> Iterator[KeyValue]:
        """In key order."""
        return self._draft.between(self._low, self._high)


class KeysThen:
    """The live keys as they were at a past revision: those that have changed since are looked up in
    the history, which is what it costs."""

    def __init__(self, live: Live, history: KvHistory, command: KvRange, budget: Budget) -> None:
        at = command.revision
        self._live = live
        self._low, self._high = low, high = interval(command.key, command.range_end)
        budget.look_at(history.rows_to_walk(low, high, at))
        self._before = before = history.changed_between(low, high, at)
        known = sum([kv is not None for kv in before.values()])
        self._restored = sorted([key for key, kv in before.items() if kv and key not in live])
        now = sum([key in live for key in before])
        self.total = Draft(live).count(low, high) - now + known

    def walk(self) -> Iterator[KeyValue]:
        """In key order."""
        if self._high is not None and self._high <= self._low:
            return
        before = self._before
        keys = self._live.keys_between(self._low, self._high)
        for key in merge(keys, self._restored) if self._restored else keys:
            kv = before[key] if key in before else self._live[key]
            if kv is not None:
                yield kv


def read_range(
    draft: Draft,
    history: KvHistory,
    command: KvRange,
    current_revision: int,
    budget: Budget,
) -> KvRangeReply:
    """Answer a read whose revision was found readable. `total` counts all keys of the interval,
    whatever the limit and the filters by revision. Raises OverBudgetError."""
    if not command.range_end:
        budget.look_at(1)
        key = command.key
        now = draft.live.get(key) if command.revision > 0 else draft.get(key)
        one = read_one(now, history, command, current_revision)
        budget.answer(one.kvs)
        return one
    found: KeysNow | KeysThen
    if command.revision <= 0:
        found = KeysNow(draft, command)
    elif command.revision < history.last_revision:
        found = KeysThen(draft.live, history, command, budget)
    else:
        found = KeysNow(Draft(draft.live), command)
    if command.count_only:
        budget.look_at(1)
        return KvRangeReply((), False, found.total, current_revision)
    if budget.level >= 1 and _first_then_sorted(command):
        kvs = _first_sorted(found, command, budget)
        more = len(kvs) > command.limit
        del kvs[command.limit :]
    elif _plain(command):
        kvs = _first_keys(found, command, budget)
        more = len(kvs) < found.total
    else:
        kvs = _sorted(found, command, budget)
        more = 0 < command.limit < len(kvs)
        if more:
            del kvs[command.limit :]
    shown = _shown(kvs, command)
    budget.answer(shown)
    return KvRangeReply(shown, more, found.total, current_revision)


def read_one(
    now: KeyValue | None, history: KvHistory, command: KvRange, current_revision: int
) -> KvRangeReply:
    """Answer a read of one key, which is `now` at present. One always fits."""
    kv = now
    if command.revision > 0:
        then = history.before(command.key, command.revision)
        if then is not None:
            kv = then[0]
    if kv is None:
        return KvRangeReply((), False, 0, current_revision)
    if command.count_only or (_filtered(command) and not _passes(kv, command)):
        return KvRangeReply((), False, 1, current_revision)
    shown = kv._replace(value=b"") if command.keys_only else kv
    return KvRangeReply((shown,), False, 1, current_revision)


def interval(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    """What `key` and `range_end` mean as low <= key < high; high None: no end."""
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == FROM_KEY_ON else range_end


def rows_in(draft: Draft, key: bytes, range_end: bytes) -> int:
    """How many keys anything with `key` and `range_end` names; 1 if that is one, there or not."""
    return draft.count(*interval(key, range_end)) if range_end else 1


def _plain(command: KvRange) -> bool:
    """Key order and no filters: the limit bounds the work."""
    return (
        command.sort_target is SortTarget.KEY
        and command.sort_order is not SortOrder.DESCEND
        and not _filtered(command)
    )


def _first_then_sorted(command: KvRange) -> bool:
    """A limit and a sort target without an order: etcd takes the first keys, and sorts those."""
    return (
        command.limit > 0
        and command.sort_order is SortOrder.NONE
        and command.sort_target is not SortTarget.KEY
        and not _filtered(command)
    )


def _filtered(command: KvRange) -> bool:
    return bool(
        command.min_mod_revision
        or command.max_mod_revision
        or command.min_create_revision
        or command.max_create_revision
    )


def _passes(kv: KeyValue, command: KvRange) -> bool:
    """The filters by revision; 0 sets no bound."""
    most, least = command.max_mod_revision, command.min_mod_revision
    if (most and kv.mod_revision > most) or (least and kv.mod_revision < least):
        return False
    most, least = command.max_create_revision, command.min_create_revision
    return not ((most and kv.create_revision > most) or (least and kv.create_revision < least))


def _first_keys(found: KeysNow | KeysThen, command: KvRange, budget: Budget) -> list[KeyValue]:
    limit = min(command.limit, found.total) if command.limit > 0 else found.total
    budget.look_at(max(1, limit))
    return list(islice(found.walk(), limit))


def _first_sorted(found: KeysNow | KeysThen, command: KvRange, budget: Budget) -> list[KeyValue]:
    """The first pairs in key order, one more than the limit, sorted."""
    many = min(command.limit + 1, found.total)
    budget.look_at(max(1, many))
    kvs = list(islice(found.walk(), many))
    if command.sort_target is SortTarget.VALUE:
        budget.examine(sum([len(kv.value) for kv in kvs]))
    kvs.sort(key=_SORT_KEY[command.sort_target])
    return kvs


def _sorted(found: KeysNow | KeysThen, command: KvRange, budget: Budget) -> list[KeyValue]:
    """All keys, filtered by revisions and sorted; key order settles ties."""
    budget.look_at(max(1, found.total))
    kvs = list(found.walk())
    if _filtered(command):
        kvs = [kv for kv in kvs if _passes(kv, command)]
    descending = command.sort_order is SortOrder.DESCEND
    if command.sort_target is SortTarget.KEY:
        if descending:
            kvs.reverse()
        return kvs
    if command.sort_target is SortTarget.VALUE:
        budget.examine(sum([len(kv.value) for kv in kvs]))
    kvs.sort(key=_SORT_KEY[command.sort_target], reverse=descending)
    return kvs


def _shown(kvs: list[KeyValue], command: KvRange) -> tuple[KeyValue, ...]:
    if command.keys_only:
        return tuple([KeyValue(key, b"", *rest) for key, _, *rest in kvs])
    return tuple(kvs)
