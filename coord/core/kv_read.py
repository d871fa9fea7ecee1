"""Range reads: which keys, at which revision, in which order (etcd v3's RangeRequest)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from coord.core.commands import KvRange, SortOrder, SortTarget
from coord.core.kv_history import KvHistory
from coord.core.replies import KeyValue, KvRangeReply
from coord.core.table import Table
from coord.core.validate_kv import FROM_KEY_ON

Live = Table[bytes, KeyValue]

_SORT_KEY: Final[dict[SortTarget, Callable[[KeyValue], Any]]] = {
    SortTarget.KEY: lambda kv: kv.key,
    SortTarget.VERSION: lambda kv: kv.version,
    SortTarget.CREATE: lambda kv: kv.create_revision,
    SortTarget.MOD: lambda kv: kv.mod_revision,
    SortTarget.VALUE: lambda kv: kv.value,
}


def read_range(
    live: Live, history: KvHistory, command: KvRange, current_revision: int
) -> KvRangeReply:
    """Answer a read whose revision was found readable. `total` counts all keys of the interval,
    whatever the limit and the filters by revision."""
    at = command.revision if command.revision > 0 else current_revision
    past = at < history.last_revision
    if command.count_only:
        total = _count(live, history, command, at) if past else count_live(live, command)
        return KvRangeReply((), False, total, current_revision)
    if not past and is_plain(command):
        return _read_plain(live, command, current_revision)
    kvs = _as_of(live, history, command, at) if past else list(select(live, command))
    total = len(kvs)
    kvs = _arranged(kvs, command)
    more = 0 < command.limit < len(kvs)
    if more:
        del kvs[command.limit :]
    return KvRangeReply(shown(kvs, command), more, total, current_revision)


def interval(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    """What `key` and `range_end` mean as low <= key < high; high None: no end."""
    if not range_end:
        return key, key + b"\0"
    return key, None if range_end == FROM_KEY_ON else range_end


def select(live: Live, command: Any) -> Iterator[KeyValue]:
    """The key-values as they are now, in key order, of anything with `key` and `range_end`."""
    if not command.range_end:
        kv = live.get(command.key)
        return iter(()) if kv is None else iter((kv,))
    low, high = interval(command.key, command.range_end)
    if high is not None and high <= low:
        return iter(())
    return (live[key] for key in live.keys_between(low, high))


def count_live(live: Live, command: KvRange) -> int:
    """How many keys the interval has now, without walking it."""
    if not command.range_end:
        return 1 if command.key in live else 0
    low, high = interval(command.key, command.range_end)
    end = len(live) if high is None else live.rank(high)
    return max(0, end - live.rank(low))


def is_plain(command: KvRange) -> bool:
    """Key order and no filters: the limit bounds the work."""
    return (
        command.sort_target is SortTarget.KEY
        and command.sort_order is not SortOrder.DESCEND
        and not (
            command.min_mod_revision
            or command.max_mod_revision
            or command.min_create_revision
            or command.max_create_revision
        )
    )


def _read_plain(live: Live, command: KvRange, current_revision: int) -> KvRangeReply:
    found = select(live, command)
    kvs = list(islice(found, command.limit) if command.limit > 0 else found)
    total = count_live(live, command)
    return KvRangeReply(shown(kvs, command), len(kvs) < total, total, current_revision)


def _as_of(live: Live, history: KvHistory, command: KvRange, at: int) -> list[KeyValue]:
    """The key-values of the interval as they were at revision `at`, in key order."""
    if not command.range_end:
        changed = history.before(command.key, at)
        kv = live.get(command.key) if changed is None else changed[0]
        return [] if kv is None else [kv]
    low, high = interval(command.key, command.range_end)
    if high is not None and high <= low:
        return []
    return list(as_of(select(live, command), history.keys_between(low, high, at)))


def as_of(
    now: Iterator[KeyValue], kept: Iterator[tuple[bytes, tuple[KeyValue | None] | None]]
) -> Iterator[KeyValue]:
    """The key-values as they were, from those that are, and from what the history says of keys
    (`KvHistory.keys_between`), both in key order. Walks both no further than it is asked."""
    then = next(kept, None)
    for kv in now:
        while then is not None and then[0] < kv.key:
            if then[1] is not None and then[1][0] is not None:
                yield then[1][0]
            then = next(kept, None)
        if then is None or then[0] != kv.key or then[1] is None:
            yield kv
        elif then[1][0] is not None:
            yield then[1][0]
        if then is not None and then[0] == kv.key:
            then = next(kept, None)
    while then is not None:
        if then[1] is not None and then[1][0] is not None:
            yield then[1][0]
        then = next(kept, None)


def _count(live: Live, history: KvHistory, command: KvRange, at: int) -> int:
    return len(_as_of(live, history, command, at))


def _arranged(kvs: list[KeyValue], command: KvRange) -> list[KeyValue]:
    """Filtered by revisions and sorted; `kvs` are in key order, which settles ties."""
    if command.max_mod_revision:
        kvs = [kv for kv in kvs if kv.mod_revision <= command.max_mod_revision]
    if command.min_mod_revision:
        kvs = [kv for kv in kvs if kv.mod_revision >= command.min_mod_revision]
    if command.max_create_revision:
        kvs = [kv for kv in kvs if kv.create_revision <= command.max_create_revision]
    if command.min_create_revision:
        kvs = [kv for kv in kvs if kv.create_revision >= command.min_create_revision]
    if command.sort_target is SortTarget.KEY:
        if command.sort_order is SortOrder.DESCEND:
            kvs.reverse()
    else:
        kvs.sort(
            key=_SORT_KEY[command.sort_target], reverse=command.sort_order is SortOrder.DESCEND
        )
    return kvs


def shown(kvs: list[KeyValue], command: KvRange) -> tuple[KeyValue, ...]:
    """As the command wants to see them."""
    if command.keys_only:
        return tuple([kv._replace(value=b"") for kv in kvs])
    return tuple(kvs)
