"""Many seeds, on as many processes as there are cores to spare; and the account of them."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from chaos.sim.plan import SimPlan
from chaos.sim.promises import combined_digest
from chaos.sim.world import simulate


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What the account keeps of a run. `digest`: SHA-256 of its history."""

    plan: SimPlan
    failure: str | None
    digest: str
    simulated_s: float
    operations: int
    acknowledged: int
    messages: int
    restores: int
    witnesses: tuple[str, ...] = ()


@dataclass(slots=True)
class Account:
    """All runs of one call, in order of their seeds."""

    reports: list[SeedReport] = field(default_factory=list)
    seconds: float = 0.0  # real ones

    @property
    def failures(self) -> list[SeedReport]:
        return [report for report in self.reports if report.failure is not None]

    def to_json(self) -> dict[str, Any]:
        """For `--json`; only `seconds` and `simulated_per_second` depend on the machine."""
        simulated_s = sum(report.simulated_s for report in self.reports)
        failing = [
            {
                "seed": report.plan.seed,
                "profile": report.plan.profile,
                "failure": report.failure,
                "defects": list(report.witnesses),
                "replay": report.plan.replay(),
            }
            for report in self.failures
        ]
        return {
            "valid": not failing,
            "seeds": len(self.reports),
            "failing": failing,
            "simulated_s": round(simulated_s, 3),
            "operations": sum(report.operations for report in self.reports),
            "acknowledged": sum(report.acknowledged for report in self.reports),
            "faults": sum(len(report.plan.faults) for report in self.reports),
            "messages": sum(report.messages for report in self.reports),
            "snapshots_restored": sum(report.restores for report in self.reports),
            "history_sha256": combined_digest([report.digest for report in self.reports]),
            "seconds": round(self.seconds, 1),
            "simulated_per_second": round(simulated_s / self.seconds, 1) if self.seconds else None,
        }


def run_one(plan: SimPlan) -> SeedReport:
    """Run a plan; the report, without the history."""
    with silent_nodes():
        result = simulate(plan)
    return SeedReport(
        plan=plan,
        failure=result.failure,
        digest=result.digest,
        simulated_s=result.simulated_s,
        operations=result.operations,
        acknowledged=result.acknowledged,
        messages=result.messages,
        restores=result.restores,
        witnesses=result.witnesses,
    )


def run_many(plans: Sequence[SimPlan], jobs: int) -> Iterator[SeedReport]:
    """Reports in the order of the plans, as they come."""
    if jobs <= 1 or len(plans) <= 1:
        yield from map(run_one, plans)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(plans))) as pool:
        yield from pool.imap(run_one, plans, chunksize=2)


def account(reports: Iterable[SeedReport]) -> Account:
    """Take them all in."""
    began = time.monotonic()
    taken = list(reports)
    return Account(taken, time.monotonic() - began)


@contextmanager
def silent_nodes() -> Iterator[None]:
    """What simulated nodes log is of no interest."""
    before = structlog.get_config()
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    try:
        yield
    finally:
        structlog.configure(**before)
