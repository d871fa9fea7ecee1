"""How long work waited, and how soon after each kill nothing was behind any more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bench.sustained.book import NEVER, Ledger

LATE_S = 0.25
CALM_S = 1.0
CAUSED_S = 10.0
# From when to when some task was late.
Span = tuple[float, float]


def spans_behind(ledger: Ledger) -> list[Span]:
    """The times with a backlog: some task that was due `LATE_S` ago was not committed yet. Two that
    have less than `CALM_S` between them are one: work came back to zero only if it stayed there."""
    late = sorted(
        (due + LATE_S, committed)
        for due, committed in zip(ledger.due, ledger.committed_at, strict=True)
        if due < NEVER and committed > due + LATE_S
    )
    merged: list[Span] = []
    for begin, end in late:
        if merged and begin < merged[-1][1] + CALM_S:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def drained_s(kills: Sequence[float], spans: Sequence[Span], until: float) -> list[float]:
    """For each kill, the seconds until its backlog was gone for good. 0 = nothing was late. Its
    backlog is any that was there when the leader was killed, or began within `CAUSED_S`."""
    found = []
    for killed, following in pairwise([*kills, until]):
        last = min(killed + CAUSED_S, following)
        ends = [end for begin, end in spans if begin < last and end > killed]
        found.append(max(ends, default=killed) - killed)
    return found


def latencies_s(ledger: Ledger, since: float) -> list[float]:
    """From due to committed, of the tasks due from `since` on."""
    return [
        committed - due
        for due, committed in zip(ledger.due, ledger.committed_at, strict=True)
        if since <= due < NEVER and committed < NEVER
    ]


def gaps(ledger: Ledger, zero: float, shortest_ms: float) -> list[tuple[float, float]]:
    """Times without an acknowledged submit: (begin in s after `zero`, length in ms)."""
    moments = sorted(at for at in ledger.accepted_at if at < NEVER)
    return [
        (begin - zero, (end - begin) * 1000)
        for begin, end in pairwise(moments)
        if (end - begin) * 1000 >= shortest_ms
    ]
