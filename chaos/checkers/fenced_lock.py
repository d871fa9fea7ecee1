"""Locks whose tokens can be trusted.

Verified, for each lock: of two grants of which one was acknowledged before the other was asked for,
the later has the larger token; no token is granted twice; the resource never accepted an older
token after a newer one, nor one token from two holders. Reported, not judged: how often two holders
both believed to hold the lock at the same wall-clock time - no lock with leases can exclude that,
which is why there are tokens. Not verified: fairness, and that a free lock is granted.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from chaos.checkers.result import CheckBounds, CheckResult, judged
from chaos.histories.history import Call, HistoryEvent, calls

Wrong = tuple[str, list[Call]]


def check_fenced_locks(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
    by_lock: dict[str | None, list[Call]] = defaultdict(list)
    for call in calls(events):
        by_lock[call.invoke.key].append(call)
    wrong: list[Wrong] = []
    grants = overlaps = 0
    for lock, of_lock in by_lock.items():
        granted = [call for call in of_lock if call.invoke.f == "acquire" and call.ok]
        grants += len(granted)
        overlaps += _overlaps(granted, of_lock)
        for check in (_tokens_grow, _tokens_differ):
            wrong += [(f"{lock}: {line}", shown) for line, shown in check(granted)]
        wrong += [(f"{lock}: {line}", shown) for line, shown in _resource(of_lock)]
    refused = sum(
        call.invoke.f == "use" and call.type == "fail" for c in by_lock.values() for call in c
    )
    facts = {"grants": grants, "uses_refused": refused, "beliefs_overlapping": overlaps}
    involved = wrong[0][1] if wrong else []
    return judged([line for line, _ in wrong], facts, involved, enough=grants > 0)


def _tokens_grow(granted: Sequence[Call]) -> Iterator[Wrong]:
    ended = sorted(granted, key=lambda call: call.returned or 0)
    newest: Call | None = None
    position = 0
    for grant in sorted(granted, key=lambda call: call.invoked):
        while position < len(ended) and (ended[position].returned or 0) < grant.invoked:
            if newest is None or ended[position].result["token"] > newest.result["token"]:
                newest = ended[position]
            position += 1
        if newest is not None and grant.result["token"] <= newest.result["token"]:
            yield (
                f"token {grant.result['token']} was granted after token {newest.result['token']}",
                [newest, grant],
            )


def _tokens_differ(granted: Sequence[Call]) -> Iterator[Wrong]:
    first: dict[int, Call] = {}
    for grant in granted:
        other = first.setdefault(grant.result["token"], grant)
        if other is not grant:
            yield f"token {grant.result['token']} was granted twice", [other, grant]


def _resource(of_lock: Sequence[Call]) -> Iterator[Wrong]:
    newest: Call | None = None
    users: dict[int, Call] = {}
    for use in sorted(
        (call for call in of_lock if call.invoke.f == "use" and call.ok),
        key=lambda call: call.returned or 0,
    ):
        token, holder = use.invoke.value["token"], use.invoke.value["holder"]
        if newest is not None and token < newest.invoke.value["token"]:
            line = f"token {token} was accepted after {newest.invoke.value['token']}"
            yield line, [newest, use]
        else:
            newest = use
        user = users.setdefault(token, use)
        if user.invoke.value["holder"] != holder:
            yield f"token {token} was used by two holders", [user, use]


def _overlaps(granted: Sequence[Call], of_lock: Sequence[Call]) -> int:
    """Pairs of neighbouring grants whose holders both still meant to hold the lock."""
    given_up: dict[int, int] = {}
    for call in of_lock:
        if call.invoke.f in {"release", "vanish", "outstay"}:
            token = call.invoke.value["token"]
            given_up[token] = min(call.invoked, given_up.get(token, call.invoked))
    in_order = sorted(granted, key=lambda call: int(call.result["token"]))
    return sum(
        given_up.get(a.result["token"], 0) > (b.returned or 0)
        for a, b in itertools.pairwise(in_order)
    )
