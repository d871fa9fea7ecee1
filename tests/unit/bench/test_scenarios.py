"""What scenarios make of their measurements, without any server: labels that targets and plots look
for, and figures that follow from others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.bench import Bench, Metrics, Timing
from bench.figures import HEADLINES, Figures
from bench.job import Job
from bench.plots import LATENCIES
from bench.results import Results, Sample
from bench.scenarios import SCENARIOS
from bench.systems.base import System
from bench.systems.coord import CoordSystem
from bench.targets import CLAIMS, judge


class Nowhere(CoordSystem):
    """Servers that are only said to run."""

    def connect(self) -> dict[str, str]:
        return {"endpoints": "nowhere:1"}

    def pids(self) -> list[int]:
        return [os.getpid()]

    @contextmanager
    def workers(self, slots: int, queue: str, directory: Path) -> Iterator[dict[str, str]]:
        yield {"queue": queue}


@dataclass(slots=True)
class Pretence(Bench):
    """Measures nothing: every job has the figures of its turn in `rates`, the last one for all
    that follow. `done` are the jobs."""

    rates: list[float] = field(default_factory=lambda: [100.0])
    done: list[Job] = field(default_factory=list)

    def run(self, system: System, job: Job) -> Metrics:
        self.done.append(job)
        if job.operation == "fill":
            return {}
        rate = self.rates.pop(0) if len(self.rates) > 1 else self.rates[0]
        return {
            "per_second": rate,
            "p50_ms": 1_000 / rate,
            "p99_ms": 1_000 / rate,
            "p999_ms": 1_000 / rate,
        }

    def settle(self, system: System) -> None:
        """There is nothing to wait for."""

    @contextmanager
    def fresh(self, system: System) -> Iterator[System]:
        yield Nowhere(system.nodes if isinstance(system, CoordSystem) else 0)


def measure(bench: Bench, name: str) -> Mapping[str, Metrics]:
    found: dict[str, Metrics] = {}
    for point in SCENARIOS[name].points:
        found |= point.measure(bench, Nowhere())
    return found


@pytest.mark.parametrize(
    ("scenario", "label"),
    [
        *((h.scenario, h.label) for h in HEADLINES if h.label),
        *((scenario, label) for _, scenario, label in LATENCIES),
        ("open", "50 % of capacity"),
    ],
)
def test_what_is_compared_and_plotted_is_measured(
    scenario: str, label: str, tmp_path: Path
) -> None:
    assert label in measure(Pretence(tmp_path, Timing()), scenario)


def test_the_open_loop_offers_a_share_of_what_was_reached(tmp_path: Path) -> None:
    bench = Pretence(tmp_path, Timing(), rates=[4_000.0, 1.0])
    found = measure(bench, "open")
    assert [one["offered_per_second"] for one in found.values()] == [2_000.0, 3_200.0]
    assert [job.rate for job in bench.done] == [0.0, 2_000.0, 3_200.0]


def test_a_deep_queue_is_held_against_the_empty_one(tmp_path: Path) -> None:
    bench = Pretence(tmp_path, Timing(pending=(1, 500, 1_000_000)), rates=[*[100.0] * 12, 50.0])
    found = measure(bench, "depth")
    fills = [job for job in bench.done if job.operation == "fill"]
    assert [job.batch * job.count for job in fills] == [1, 499, 999_500]
    assert {job.name for job in fills} == {"depth"}
    everything = [label.removeprefix("1 pending: ") for label in found if label.startswith("1 p")]
    deep = [label for label in found if label.startswith("1,000,000 pending: ")]
    assert len(deep) == len(everything) == 9
    assert len(found) == 2 * 9 + 1  # on the way only the cycle
    assert all("times_slower" not in found[f"1 pending: {label}"] for label in everything)
    # Half the rate, or twice the time.
    assert {found[label]["times_slower"] for label in deep} == {2.0}
    assert "bytes_each" in found["1,000,000 pending: cycle, 64 callers"]
    [half] = {job.rate for job in bench.done if job.rate}
    assert half == 50.0


def test_sizes_are_held_against_the_smallest(tmp_path: Path) -> None:
    found = measure(
        Pretence(tmp_path, Timing(sizes=(3, 5)), rates=[100.0, 200.0, 80.0, 120.0]), "nodes"
    )
    shares = {label: one["of_smallest"] for label, one in found.items()}
    assert shares == {
        "64 callers, 1 task a call: 3 nodes": 1.0,
        "64 callers, 1 task a call: 5 nodes": 0.8,
        "16 callers, 32 tasks a call: 3 nodes": 1.0,
        "16 callers, 32 tasks a call: 5 nodes": 0.6,
    }


def test_a_full_run_measures_all_claims_that_need_no_other_system(tmp_path: Path) -> None:
    """The long ones that start processes themselves are left out."""
    timing = Timing(pending=(1, 1_000_000), sizes=(3, 5))
    samples = [
        Sample(name, label, "coord", 1, metrics)
        for name in ("cycle", "open", "depth", "nodes")
        for label, metrics in measure(Pretence(tmp_path, timing), name).items()
    ]
    findings = judge(Figures(Results([], {}, samples=samples), tuple(SCENARIOS.values())))
    unmeasured = [
        claim.target
        for claim, finding in zip(CLAIMS, findings, strict=True)
        if finding.met is None and not claim.peer
    ]
    assert unmeasured == [9, 9, 9, 0]
