"""Range reads of callers outside the log: each looks at a bounded number of keys and answers with
a bounded number of bytes. One that would need more is refused and never cut, because clients made
for etcd do not look at `more` unless they set a limit.

A page (key order, a limit, no filters) costs about what it shows, also at an old revision: the
store as it was then is walked from the first key on, and the count of all keys is the present one,
corrected by what has changed since.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from coord.core.commands import KvRange
from coord.core.kv_history import KvHistory
from coord.core.kv_read import (
    Live,
    as_of,
    count_live,
    interval,
    is_plain,
    read_range,
    select,
    shown,
)
from coord.core.limits import LIMITS, Limits
from coord.core.reasons import Reason
from coord.core.replies import KvRangeReply, Rejected

_KEY_VALUE_BYTES: Final = 48  # of a key-value in an answer, beside its key and its value


def read_bounded(
    live: Live,
    history: KvHistory,
    command: KvRange,
    current_revision: int,
    limits: Limits = LIMITS,
) -> KvRangeReply | Rejected:
    """As `read_range`, or refused with TOO_LARGE."""
    if not command.range_end:
        return read_range(live, history, command, current_revision)  # one key always fits
    at = command.revision if command.revision > 0 else current_revision
    past = at < history.last_revision
    most = limits.max_range_keys
    if past and (command.count_only or (is_plain(command) and command.limit > 0)):
        reply = _page_as_of(live, history, command, at, current_revision, most)
        if reply is None:
            return _too_many_keys(most)
    else:
        if _keys_looked_at(live, history, command, past=past) > most:
            return _too_many_keys(most)
        reply = read_range(live, history, command, current_revision)
    size = sum([len(kv.key) + len(kv.value) for kv in reply.kvs])
    if size + _KEY_VALUE_BYTES * len(reply.kvs) > limits.max_answer_bytes:
        return _too_many_bytes(limits.max_answer_bytes)
    return reply


def _keys_looked_at(live: Live, history: KvHistory, command: KvRange, *, past: bool) -> int:
    """At most, for an answer that is not a page of an old revision."""
    if command.count_only and not past:
        return 1
    present = count_live(live, command)
    if past:
        return present + history.changes_between(*interval(command.key, command.range_end))
    if is_plain(command) and command.limit > 0:
        return min(present, command.limit)
    return present


def _page_as_of(
    live: Live, history: KvHistory, command: KvRange, at: int, current_revision: int, most: int
) -> KvRangeReply | None:
    """None: it would have to look at more than `most` keys."""
    low, high = interval(command.key, command.range_end)
    if high is not None and high <= low:
        return KvRangeReply((), False, 0, current_revision)
    total = _count_as_of(live, history, command, at, most)
    if total is None:
        return None
    if command.count_only:
        return KvRangeReply((), False, total, current_revision)
    steps = _Steps(most)
    now = steps.counted(select(live, command))
    kept = steps.counted(history.keys_between(low, high, at))
    kvs = list(islice(as_of(now, kept), command.limit))
    if steps.left < 0:
        return None
    return KvRangeReply(shown(kvs, command), len(kvs) < total, total, current_revision)


def _count_as_of(
    live: Live, history: KvHistory, command: KvRange, at: int, most: int
) -> int | None:
    """How many keys the interval had at revision `at`; None if that needs too many steps."""
    low, high = interval(command.key, command.range_end)
    inside, since = history.changes_between(low, high), history.changes_since(at)
    if min(inside, since) > most:
        return None
    if inside < since:
        changed = history.changed_between(low, high, at)
    else:
        changed = history.changed_since(at)
    total = count_live(live, command)
    for key, before in changed:
        if low <= key and (high is None or key < high):
            total += (before is not None) - (key in live)
    return total


class _Steps:
    """How many keys may still be looked at; negative once there were too many."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def counted(self, things: Iterator[Any]) -> Iterator[Any]:
        """These, as long as there are steps left."""
        for thing in things:
            self.left -= 1
            if self.left < 0:
                return
            yield thing


def _too_many_keys(most: int) -> Rejected:
    return Rejected(
        Reason.TOO_LARGE,
        f"the read would look at more than {most} keys; read them in pages: set a limit, and begin"
        " the next page behind the last key",
        (("limit", str(most)),),
    )


def _too_many_bytes(most: int) -> Rejected:
    return Rejected(
        Reason.TOO_LARGE,
        f"the answer would hold more than {most} bytes; ask for less at a time: set a lower limit,"
        " and begin the next page behind the last key",
        (("limit", str(most)),),
    )
