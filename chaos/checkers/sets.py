"""Sets keep what was added to them.

Verified, for each set: a read contains every element whose add was acknowledged before the read was
called, and every element that an earlier read had seen; nothing is in it that nobody tried to add
or whose add certainly failed. Not verified: when an unknown add takes effect, and anything about
adds that no later read could show.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from chaos.checkers.result import CheckBounds, CheckResult, judged, shorten
from chaos.histories.history import Call, HistoryEvent, calls


def check_sets(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
    by_set: dict[str | None, list[Call]] = defaultdict(list)
    for call in calls(events):
        by_set[call.invoke.key].append(call)
    anomalies: list[str] = []
    involved: list[Call] = []
    reads = 0
    for key, of_set in by_set.items():
        reads += sum(call.ok and call.invoke.f == "read-set" for call in of_set)
        for line, read in _wrong(of_set):
            anomalies.append(f"{key}: {line}")
            if len(anomalies) == 1:
                involved = [read]
    facts = {"sets": len(by_set), "reads": reads}
    return judged(anomalies, facts, involved, enough=reads > 0)


def _wrong(of_set: Sequence[Call]) -> Iterator[tuple[str, Call]]:
    adds = [call for call in of_set if call.invoke.f == "add"]
    reads = [call for call in of_set if call.invoke.f == "read-set" and call.ok]
    possible = {call.invoke.value for call in adds if call.type != "fail"}
    # What a read called at some position must contain, and from which position on.
    known = [(call.returned, {call.invoke.value}) for call in adds if call.ok]
    known += [(call.returned, set(call.result)) for call in reads]
    due = sorted(((at, found) for at, found in known if at is not None), key=lambda one: one[0])
    required: set[Any] = set()
    position = 0
    for read in sorted(reads, key=lambda call: call.invoked):
        while position < len(due) and due[position][0] < read.invoked:
            required |= due[position][1]
            position += 1
        found = set(read.result)
        if missing := required - found:
            yield f"read at event {read.invoke.i} lacks {shorten(sorted(missing))}", read
        if phantom := found - possible:
            yield f"read at event {read.invoke.i} has {shorten(sorted(phantom))} never added", read
