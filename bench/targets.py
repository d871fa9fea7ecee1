"""The targets, and whether a run has met them.

A target has one or several claims. One that the run did not measure, or not at the size that the
target speaks of, is neither met nor missed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import (
    BATCH_32,
    BATCH_100,
    COMMIT,
    CYCLE,
    END_TO_END,
    GET,
    GET_UNARY,
    LOCK,
    LOCK_SERIAL,
    Figures,
    Headline,
)
from bench.results import Row
from bench.text import number

DEEP = "1,000,000 pending"
SUSTAINED_S = 1_800
SUSTAINED_RATE = 1_157
FLAT = 1.1

Measured = Callable[[Figures], float | None]


@dataclass(frozen=True, slots=True)
class Claim:
    """`measured` must be at least, or at most, `bound`. `headline` and `peer`: what is compared,
    for ratios. `broken`: what went wrong, for measurements that ended in an error."""

    target: int
    text: str
    bound: float
    unit: str
    measured: Measured
    at_most: bool = False
    headline: Headline | None = None
    peer: str = ""
    broken: Callable[[Figures], Sequence[str]] = lambda _: ()

    @property
    def goal(self) -> str:
        sign = "=" if self.at_most and not self.bound else "<=" if self.at_most else ">="
        return f"{sign} {_amount(self.bound, self.unit)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run says of a claim. `met`: None = it was not measured."""

    target: int
    text: str
    goal: str
    measured: float | None
    shown: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "not met", None: "not measured"}[self.met]


def _amount(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".rstrip()


def _ratio(target: int, headline: Headline, peer: str, bound: float) -> Claim:
    def measured(figures: Figures) -> float | None:
        return figures.ratio(headline, peer)

    text = f"{headline.title}: {'lower than' if headline.less else 'against'} {peer}'s"
    return Claim(target, text, bound, "x", measured, headline=headline, peer=peer)


def _value(target: int, text: str, place: tuple[str, str, str], bound: float, unit: str) -> Claim:
    """At most `bound`."""

    def measured(figures: Figures) -> float | None:
        return figures.value(*place)

    return Claim(target, text, bound, unit, measured, at_most=True)


def _deep(figures: Figures, figure: str) -> list[float]:
    rows = [row for row in figures.rows("depth") if row.label.startswith(DEEP)]
    return [row.medians[figure] for row in rows if figure in row.medians]


def _times_slower(figures: Figures) -> float | None:
    return max(_deep(figures, "times_slower"), default=None)


def _bytes_each(figures: Figures) -> float | None:
    return max(_deep(figures, "bytes_each"), default=None)


def _five_of_three(figures: Figures) -> float | None:
    rows = [row for row in figures.rows("nodes") if row.label.endswith(": 5 nodes")]
    return min((row.medians["of_smallest"] for row in rows), default=None)


def _sustained_row(figures: Figures) -> Row | None:
    """Of the full length and rate."""
    for row in figures.rows("sustained"):
        found = row.medians
        if found.get("seconds", 0) >= SUSTAINED_S and found["rate"] >= SUSTAINED_RATE:
            return row
    return None


def _sustained(target: int, text: str, bound: float, unit: str, figure: str) -> Claim:
    def measured(figures: Figures) -> float | None:
        row = _sustained_row(figures)
        return None if row is None else row.medians[figure]

    def broken(figures: Figures) -> Sequence[str]:
        return figures.errors("sustained")

    return Claim(target, text, bound, unit, measured, at_most=True, broken=broken)


CLAIMS: tuple[Claim, ...] = (
    _ratio(1, CYCLE, "postgres", 3),
    _ratio(1, CYCLE, "etcd", 7),
    _value(1, f"{CYCLE.title}: p99", (CYCLE.scenario, CYCLE.label, "p99_ms"), 10, "ms"),
    _ratio(2, BATCH_32, "postgres", 1),
    _ratio(2, BATCH_32, "etcd", 3),
    _ratio(2, BATCH_100, "postgres", 1.5),
    _ratio(3, END_TO_END, "procrastinate", 5),
    _ratio(3, END_TO_END, "celery", 8),
    _ratio(4, COMMIT, "etcd", 1),
    _value(4, "Cycle p99 at half of capacity", ("open", "50 % of capacity", "p99_ms"), 10, "ms"),
    _ratio(5, LOCK, "etcd", 2),
    _ratio(5, LOCK_SERIAL, "etcd", 1),
    _ratio(6, GET_UNARY, "etcd", 0.5),
    _ratio(6, GET, "etcd", 1),
    Claim(
        *(7, "1,000,000 pending: times slower than empty, worst figure", 1.5, "x"),
        measured=_times_slower,
        at_most=True,
    ),
    Claim(
        *(7, "1,000,000 pending: memory per task beside its payload", 1_000, "bytes"),
        measured=_bytes_each,
        at_most=True,
    ),
    Claim(8, "5 nodes: throughput, times that of 3", 0.6, "x", measured=_five_of_three),
    _sustained(9, "30 minutes, a kill a minute: tasks lost or doubled", 0, "", "lost"),
    _sustained(
        9, "30 minutes: time until a kill's backlog is gone, worst", 10, "s", "drained_worst_s"
    ),
    _sustained(
        9,
        "30 minutes: memory at the end, times that at half-time",
        FLAT,
        "x",
        "memory_end_of_middle",
    ),
    _value(0, "Idle CPU with 100 agents", ("agents", "100 agents", "busiest_node_percent"), 1, "%"),
)


def judge(figures: Figures, claims: Sequence[Claim] = CLAIMS) -> list[Finding]:
    """All claims, in order."""
    return [_judge(claim, figures) for claim in claims]


def _judge(claim: Claim, figures: Figures) -> Finding:
    if broken := claim.broken(figures):
        shown, met = f"failed: {broken[0]}", False
        return Finding(claim.target, claim.text, claim.goal, None, shown, met)
    value = claim.measured(figures)
    if value is None:
        return Finding(claim.target, claim.text, claim.goal, None, "", None)
    good = value <= claim.bound if claim.at_most else value >= claim.bound
    shown = _amount(value, claim.unit)
    return Finding(claim.target, claim.text, claim.goal, value, shown, good)


def to_dicts(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(finding) for finding in findings]


def goal_of(headline: Headline, peer: str) -> float | None:
    """The ratio wanted, if there is a target for it."""
    for claim in CLAIMS:
        if claim.headline is headline and claim.peer == peer:
            return claim.bound
    return None
