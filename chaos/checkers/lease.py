"""Leases are never shortened.

Verified: a lock that was granted goes to another only when its holder has asked for its release, or
the lock's own time can be over, or its session's can: counted from the call that began it, the
earliest moment possible. Fault or not - elections, wall clocks and full disks shorten no lease.
Monotonic clocks that were made to run ahead do, by as much; so much is allowed. Not verified: that
leases end in time, and renewals (a lease that was renewed may be lost as early as one that was
not)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from chaos.checkers.result import CheckBounds, CheckResult, judged
from chaos.histories.history import Call, HistoryEvent, calls, clock_ahead_ms

ROUNDING_MS = 5.0  # times are whole milliseconds on the way


def check_leases(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
    allowed_ms = clock_ahead_ms(events) + ROUNDING_MS
    made = list(calls(events))
    opened = {call.result["session"]: call for call in made if call.invoke.f == "open" and call.ok}
    by_lock: dict[str | None, list[Call]] = defaultdict(list)
    for call in made:
        if call.invoke.f == "acquire" and call.ok:
            by_lock[call.invoke.key].append(call)
    asked = _release_asked(made)
    wrong = []
    taken_over = 0
    for lock, grants in by_lock.items():
        for grant, later, left_ms in _handed_on(grants, opened, asked):
            taken_over += 1
            if left_ms > allowed_ms:
                line = f"{lock}: token {grant.result['token']} had {left_ms:.0f} ms left or more"
                wrong.append((f"{line} when {later.result['token']} was granted", [grant, later]))
    facts = {"leases_ended_by_time": taken_over, "clocks_ahead_ms": clock_ahead_ms(events)}
    involved = wrong[0][1] if wrong else []
    return judged([line for line, _ in wrong], facts, involved, enough=taken_over > 0)


def _release_asked(made: Sequence[Call]) -> dict[int, int]:
    """By token, when somebody first asked for its release."""
    first: dict[int, int] = {}
    for call in made:
        if call.invoke.f == "release":
            token = call.invoke.value["token"]
            first[token] = min(call.invoke.t, first.get(token, call.invoke.t))
    return first


def _handed_on(
    grants: Sequence[Call], opened: Mapping[int, Call], asked: Mapping[int, int]
) -> Iterator[tuple[Call, Call, float]]:
    """Grants whose lease must have ended by time, the next of the same lock, and how many
    milliseconds were left at least when that one was there."""
    for grant, later in pairwise(sorted(grants, key=lambda call: int(call.result["token"]))):
        assert later.end is not None  # it is ok
        if asked.get(grant.result["token"], later.end.t) < later.end.t:
            continue
        ends = []
        if grant.result["ttl_ms"]:
            ends.append(grant.invoke.t + grant.result["ttl_ms"] * 1_000_000)
        session = opened.get(grant.result["session"])
        if session is not None:
            ends.append(session.invoke.t + session.result["ttl_ms"] * 1_000_000)
        if ends:
            yield grant, later, (min(ends) - later.end.t) / 1e6
