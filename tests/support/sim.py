"""Simulated runs in tests."""

from __future__ import annotations

from chaos.sim.plan import make_plan
from chaos.sim.runner import SeedReport, run_one


def run_seed(
    seed: int,
    *,
    nodes: int = 3,
    engine: str = "hardened",
    profile: str | None = None,
    level: int | None = None,
    keep: tuple[int, ...] | None = None,
) -> SeedReport:
    """`keep`: only these of its faults."""
    plan = make_plan(seed, nodes=nodes, engine=engine, profile=profile, level=level)
    return run_one(plan if keep is None else plan.keeping(keep))


def told(report: SeedReport) -> str:
    """What a failing test should say."""
    return f"{report.failure}\nreplay: {report.plan.replay()}"
