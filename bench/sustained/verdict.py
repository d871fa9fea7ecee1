"""Whether promises were kept: every acknowledged submit was committed exactly once.

Held against each other are what the submitter was told (accepted), what workers were told
(committed under this token), what the cluster showed of each task later, and the counters of the
queue. Not verified: order and time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from bench.sustained.book import NOBODY, Ledger

SHOWN = 5


class Counters(Protocol):
    """The part of `coord.client.QueueInfo` that is used."""

    @property
    def ready(self) -> int: ...
    @property
    def scheduled(self) -> int: ...
    @property
    def claimed(self) -> int: ...
    @property
    def submitted_total(self) -> int: ...
    @property
    def completed_total(self) -> int: ...
    @property
    def dead_total(self) -> int: ...
    @property
    def cancelled_total(self) -> int: ...


def broken_promises(ledger: Ledger, queue: Counters) -> list[str]:
    """One line per kind of broken promise; empty when all were kept."""
    accepted = ledger.accepted()
    lines = [
        *_found("accepted and then not known to the cluster", ledger.gone),
        *_found("ended without a commit", ledger.ended_otherwise),
        *_found("accepted and never at an end", _unended(ledger, accepted)),
        *_found("committed more than once", ledger.again),
        *_found("not kept as the worker was told", _changed(ledger)),
        *_found("kept with a result that no worker has committed", _unexplained(ledger)),
        *_found("committed although the submit was refused", _from_nowhere(ledger)),
    ]
    return lines + _counted(ledger, len(accepted), queue)


def _found(what: str, numbers: Iterable[int]) -> list[str]:
    ordered = sorted(numbers)
    if not ordered:
        return []
    some = ", ".join(str(number) for number in ordered[:SHOWN])
    more = ", ..." if len(ordered) > SHOWN else ""
    return [f"{len(ordered):,} tasks {what}: {some}{more}"]


def _unended(ledger: Ledger, accepted: list[int]) -> list[int]:
    told_otherwise = ledger.gone | ledger.ended_otherwise.keys()
    return [n for n in accepted if ledger.kept_token[n] == NOBODY and n not in told_otherwise]


def _changed(ledger: Ledger) -> list[int]:
    pairs = enumerate(zip(ledger.told_token, ledger.kept_token, strict=True))
    return [n for n, (told, kept) in pairs if NOBODY not in {told, kept} and told != kept]


def _unexplained(ledger: Ledger) -> list[int]:
    pairs = enumerate(zip(ledger.told_token, ledger.kept_token, strict=True))
    return [
        n
        for n, (told, kept) in pairs
        if told == NOBODY and kept != NOBODY and kept not in ledger.maybe.get(n, ())
    ]


def _from_nowhere(ledger: Ledger) -> list[int]:
    return [n for n in ledger.refused if ledger.told_token[n] != NOBODY]


def _counted(ledger: Ledger, accepted: int, queue: Counters) -> list[str]:
    """A task that was made twice, or committed twice, shows in the totals whoever was told."""
    lines = []
    if not accepted <= queue.submitted_total <= accepted + len(ledger.unsure):
        lines.append(
            f"the queue has accepted {queue.submitted_total:,} tasks; acknowledged were"
            f" {accepted:,}, unknown {len(ledger.unsure):,}"
        )
    if left := queue.ready + queue.scheduled + queue.claimed:
        lines.append(f"{left:,} tasks are left in the queue")
    if queue.completed_total != queue.submitted_total - left:
        lines.append(
            f"the queue has {queue.completed_total:,} commits for {queue.submitted_total - left:,}"
            f" ended tasks ({queue.dead_total:,} dead, {queue.cancelled_total:,} cancelled)"
        )
    return lines
