"""Plans of simulated runs: made from seeds, kept to some of their faults, shortened."""

from __future__ import annotations

import pytest

from chaos.sim.plan import ENGINES, EVERYTHING, MEMBERS, PROFILES, make_plan
from chaos.sim.shrink import shrink
from chaos.sim.world import simulate


def test_a_seed_always_gives_the_same_plan() -> None:
    assert make_plan(7) == make_plan(7)
    assert make_plan(7).faults != make_plan(8).faults


def test_both_engines_meet_the_same_faults() -> None:
    plans = [make_plan(7, engine=engine, profile="kills") for engine in ENGINES]
    assert plans[0].faults == plans[1].faults


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_faults_come_in_order_within_the_storm(profile: str) -> None:
    plan = make_plan(3, profile=profile, nodes=5)
    times = [fault.at_s for fault in plan.faults]
    assert times == sorted(times)
    assert times[-1] < plan.storm_s
    assert {fault.kind for fault in plan.faults} <= {*PROFILES[profile].kinds, "heal"}


def test_every_kind_of_fault_comes_about() -> None:
    kinds = {fault.kind for seed in range(60) for fault in make_plan(seed).faults}
    assert kinds == {*EVERYTHING, *MEMBERS, "heal"}


def test_keeping_some_faults() -> None:
    plan = make_plan(7)
    kept = plan.keeping((1, 4, 5))
    assert kept.faults == (plan.faults[1], plan.faults[4], plan.faults[5])
    assert kept.keeping((4,)).faults == (plan.faults[4],)
    assert "--keep 1,4,5" in kept.replay()
    assert "--keep none" in kept.keeping(()).replay()
    assert "--keep" not in plan.replay()


def test_shrinking_finds_the_faults_that_matter() -> None:
    plan = make_plan(7)
    needed = {plan.faults[2], plan.faults[9]}
    shorter = shrink(plan, lambda tried: needed <= set(tried.faults))
    assert shorter.faults == (plan.faults[2], plan.faults[9])
    assert shorter.kept == (2, 9)


def test_shrinking_stops_in_time() -> None:
    plan = make_plan(7)
    tried = []

    def fails(candidate: object) -> bool:
        tried.append(candidate)
        return True

    assert len(shrink(plan, fails, max_runs=5).faults) < len(plan.faults)
    assert len(tried) <= 5


def test_a_failing_run_fails_again_when_shortened() -> None:
    plan = make_plan(5, engine="stock", profile="only-power")
    failing = simulate(plan)
    assert failing.failure is not None
    shorter = shrink(plan, lambda tried: simulate(tried).failure is not None, max_runs=25)
    assert len(shorter.faults) < len(plan.faults)
    assert simulate(shorter).failure is not None
