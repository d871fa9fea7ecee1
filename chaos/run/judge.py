"""What a run amounts to: a verdict for each workload, for the promises that no workload is about,
and for all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chaos.checkers import CHECKERS
from chaos.checkers.result import CheckBounds, CheckResult
from chaos.histories.availability import Availability, availability, availability_within
from chaos.histories.history import NEMESIS, HistoryEvent, of_workload
from chaos.histories.verdicts import Verdict, worst
from chaos.run.faults import Fault
from chaos.run.runner import RunRecord
from chaos.run.settle import WRITE_WITHIN_S
from chaos.workloads import WORKLOADS

GOES_ON_WITHIN_MS = 6_000  # elections, and clients that have to find the new leader
NOT_UNAVAILABLE_MS = 250  # a gap this short is no unavailability: probes are 40 ms apart


@dataclass(frozen=True, slots=True)
class FaultEffect:
    """`unavailable_ms`: the longest time without a successful write between the fault's beginning
    and the next one's; 0 when there was no gap worth the name."""

    fault: Fault
    unavailable_ms: int


@dataclass(frozen=True, slots=True)
class AvailabilityUnder:
    """The share of windows with writes, and how long that was, while a fault hit a majority (or it
    cannot be said whom it left alone), and all the other time. None: there was no such time."""

    majority_hit: float | None
    majority_hit_ms: int
    spared: float | None
    spared_ms: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """`workloads` and `promises`: by name. `counts`: ops, ok, fail, info by workload."""

    valid: Verdict
    workloads: Mapping[str, CheckResult]
    promises: Mapping[str, CheckResult]
    counts: Mapping[str, Mapping[str, int]]
    effects: tuple[FaultEffect, ...]
    availability: Availability
    under: AvailabilityUnder


def judge(record: RunRecord, max_seconds: float = 60.0) -> Judgement:
    """Runs every checker; may take `max_seconds` for each workload."""
    workloads: dict[str, CheckResult] = {}
    counts: dict[str, dict[str, int]] = {}
    for name in record.options.workloads:
        events = of_workload(record.events, name)
        checker = CHECKERS[WORKLOADS[name].checker]
        workloads[name] = checker(events, CheckBounds(max_seconds))
        counts[name] = count(events)
    promises = {
        "write after heal": _in_time(record, _write_after_heal(record)),
        "equal states": _equal_states(record),
        "no call hung": _in_time(record, _no_call_hung(record)),
        "no node ended": _no_node_ended(record),
        "a spared majority goes on": _in_time(record, _majority_goes_on(record)),
        "faulty disks are noticed": _faulty_disks_noticed(record),
    }
    available = availability(record.probe.success_ns, *record.load_ns)
    if record.options.min_available:
        promises["available"] = _in_time(record, _available(record, available))
    return Judgement(
        valid=worst(result.valid for result in (*workloads.values(), *promises.values())),
        workloads=workloads,
        promises=promises,
        counts=counts,
        effects=_effects(record),
        availability=available,
        under=_under(record),
    )


def count(events: list[HistoryEvent]) -> dict[str, int]:
    """Calls made and how they ended; those still open count as info."""
    kinds = Counter(event.type for event in events if event.process != NEMESIS)
    ended = kinds["ok"] + kinds["fail"] + kinds["info"]
    return {
        "ops": kinds["invoke"],
        "ok": kinds["ok"],
        "fail": kinds["fail"],
        "info": kinds["info"] + kinds["invoke"] - ended,
    }


def _effects(record: RunRecord) -> tuple[FaultEffect, ...]:
    ends = [*(fault.start_ns for fault in record.faults), record.load_ns[1]][1:]
    effects = []
    for fault, until in zip(record.faults, ends, strict=True):
        gap_ms = record.probe.longest_gap_ms(fault.start_ns, until)
        effects.append(FaultEffect(fault, round(gap_ms) if gap_ms > NOT_UNAVAILABLE_MS else 0))
    return tuple(effects)


def _under(record: RunRecord) -> AvailabilityUnder:
    since_ns, until_ns = record.load_ns
    hit = [(f.start_ns, f.end_ns) for f in record.faults if not f.majority_spared]
    inside = availability_within(record.probe.success_ns, since_ns, until_ns, hit)
    return AvailabilityUnder(*inside)


def _in_time(record: RunRecord, result: CheckResult) -> CheckResult:
    """A promise about time, which cannot be judged where the machine itself was late."""
    complaint = record.lateness.complaint
    if result.valid is not False or not complaint:
        return result
    return replace(result, valid="unknown", anomalies=(*result.anomalies, complaint))


def _write_after_heal(record: RunRecord) -> CheckResult:
    """After the heal a write succeeds within a bound. Says nothing about the time before."""
    took_ms = record.after.write_after_heal_ms
    if took_ms is None:
        return CheckResult(False, (f"no write succeeded within {WRITE_WITHIN_S:.0f} s",))
    return CheckResult(True, facts={"took_ms": round(took_ms)})


def _equal_states(record: RunRecord) -> CheckResult:
    """All nodes have the same state at one index after the heal. Says nothing about earlier ones,
    nor about whether that state is right."""
    complaint = record.after.digest_complaint
    result = CheckResult(not complaint, (complaint,) if complaint else ())
    return result if record.after.digests else _in_time(record, result)  # none: not in time


def _no_call_hung(record: RunRecord) -> CheckResult:
    """Every call ended, one way or the other, by its deadline and a grace."""
    lines = tuple(
        f"{call.workload}: {call.f} of process {call.process}, called at "
        f"{call.started_ns / 1e9:.2f} s, did not end by its deadline"
        for call in record.hung
    )
    return CheckResult(not lines, lines[:20])


def _majority_goes_on(record: RunRecord) -> CheckResult:
    """While a fault spares a majority, writes succeed, but for a bounded time; a longer one when
    the cluster had not yet come back from the fault before. Says nothing where it cannot be said
    whom a fault leaves alone, nor about faults shorter than the bound."""
    lines, longest_ms, count = [], 0, 0
    healed_ns = record.load_ns[0]
    for fault in record.faults:
        if fault.majority_spared and fault.end_ns > fault.start_ns:
            gap_ms = round(record.probe.longest_gap_ms(fault.start_ns, fault.end_ns))
            longest_ms, count = max(longest_ms, gap_ms), count + 1
            if gap_ms > _may_take_ms(record, healed_ns, fault):
                told = f"during {fault.name} ({fault.words})"
                lines.append(f"no write succeeded for {gap_ms} ms {told}")
        healed_ns = fault.end_ns
    facts = {"faults": count, "longest_gap_ms": longest_ms}
    return CheckResult(not lines, tuple(lines), facts)


def _may_take_ms(record: RunRecord, healed_ns: int, fault: Fault) -> float:
    """Before the fault began, a write had succeeded since the last one was undone; or not."""
    if record.probe.succeeded(healed_ns, fault.start_ns):
        return GOES_ON_WITHIN_MS
    return GOES_ON_WITHIN_MS + WRITE_WITHIN_S * 1_000


def _available(record: RunRecord, found: Availability) -> CheckResult:
    """Writes succeed in at least the share of 100 ms windows that was asked for. Says nothing about
    how long one write takes."""
    floor = record.options.min_available
    lines = (f"writes succeeded in {found.share:.1%} of 100 ms windows, not in {floor:.1%}",)
    facts = {"share": round(found.share, 4), "windows": found.windows}
    return (
        CheckResult(True, facts=facts) if found.share >= floor else CheckResult(False, lines, facts)
    )


def _faulty_disks_noticed(record: RunRecord) -> CheckResult:
    """A node whose sync had failed stopped itself; one whose storage was damaged did not start, and
    said why. Says nothing about runs without such faults."""
    lines = record.after.disk_complaints
    return CheckResult(not lines, lines)


def _no_node_ended(record: RunRecord) -> CheckResult:
    """No node's process ended that no fault had ended (a crash, or a node that stopped itself), so
    none is in a crash loop either: one crash is enough."""
    lines = tuple(
        f"{end.node_id} ended by itself before {end.at_ns / 1e9:.1f} s; its last words: "
        + " / ".join(end.last_words[:2])
        for end in record.after.unexpected_ends
    )
    return CheckResult(not lines, lines)


def as_json(judgement: Judgement, record: RunRecord, replay: str) -> dict[str, Any]:
    """The contents of results.json."""
    return {
        "valid": judgement.valid,
        "seed": record.options.seed,
        "replay": replay,
        "nodes": record.options.nodes,
        "interrupted": record.interrupted,
        "duration_ms": round((record.load_ns[1] - record.load_ns[0]) / 1e6),
        "workloads": {
            name: {
                "valid": result.valid,
                **judgement.counts[name],
                **result.facts,
                "anomalies": list(result.anomalies),
            }
            for name, result in judgement.workloads.items()
        },
        "promises": {
            name: {"valid": result.valid, **result.facts, "anomalies": list(result.anomalies)}
            for name, result in judgement.promises.items()
        },
        "faults": [
            {
                "name": effect.fault.name,
                "start_ns": effect.fault.start_ns,
                "end_ns": effect.fault.end_ns,
                "unavailable_ms": effect.unavailable_ms,
                "what": effect.fault.words,
            }
            for effect in judgement.effects
        ],
        "longest_write_gap_ms": judgement.availability.longest_ms,
        "available_share": round(judgement.availability.share, 4),
        "availability": judgement.availability.as_json(),
        "availability_under": {
            "majority_hit_share": _rounded(judgement.under.majority_hit),
            "majority_hit_ms": judgement.under.majority_hit_ms,
            "majority_spared_share": _rounded(judgement.under.spared),
            "majority_spared_ms": judgement.under.spared_ms,
        },
        "about": dict(record.about),
        "lateness": {
            "longest_ms": record.lateness.longest_ms,
            "share": record.lateness.share,
            "crowd": record.lateness.crowd,
        },
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
