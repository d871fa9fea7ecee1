"""Shortening the fault list of a failing run: fewer faults that still make it fail (delta
debugging, Zeller and Hildebrandt 2002, in its simple form: drop ever smaller pieces)."""

from __future__ import annotations

from collections.abc import Callable

from chaos.sim.plan import SimPlan

MAX_RUNS = 200


def shrink(plan: SimPlan, fails: Callable[[SimPlan], bool], max_runs: int = MAX_RUNS) -> SimPlan:
    """A plan with as few of the faults as was found to do in `max_runs` runs; it fails as well."""
    best = plan
    runs = 0
    size = max(1, len(plan.faults) // 2)
    while runs < max_runs:
        shorter, runs = _drop_pieces(best, size, fails, runs, max_runs)
        if size == 1 and len(shorter.faults) == len(best.faults):
            break
        best = shorter
        size = max(1, min(size, len(best.faults)) // 2)
    return best


def _drop_pieces(
    plan: SimPlan, size: int, fails: Callable[[SimPlan], bool], runs: int, max_runs: int
) -> tuple[SimPlan, int]:
    """Leave out each piece of that size that is not needed, the last first."""
    start = len(plan.faults) - size
    while start > -size and runs < max_runs:
        numbers = _numbers(plan)
        kept = numbers[: max(0, start)] + numbers[start + size :]
        runs += 1
        if len(kept) < len(numbers) and fails(plan.keeping(kept)):
            plan = plan.keeping(kept)
        start -= size
    return plan, runs


def _numbers(plan: SimPlan) -> tuple[int, ...]:
    return plan.kept if plan.kept is not None else tuple(range(len(plan.faults)))
