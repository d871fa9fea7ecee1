"""Simulated clusters under faults: nothing acknowledged is lost, nothing diverges, all converge."""

from __future__ import annotations

import pytest

from chaos.sim.cluster import SimCluster, SimPlan

_PLANS = {
    "messages of 600 bytes": {"batch_bytes": 600},
    "messages of 200 bytes": {"batch_bytes": 200},
    "snapshots at 50 entries": {"batch_bytes": 600, "snapshot_entries": 50},
    "five nodes": {"batch_bytes": 200, "snapshot_entries": 200, "nodes": 5, "storm_s": 10.0},
}


@pytest.mark.parametrize("name", _PLANS)
def test_seeds_are_clean(name: str) -> None:
    acknowledged = 0
    for seed in range(5):
        plan = SimPlan(seed, **{"storm_s": 15.0, "calm_s": 10.0, **_PLANS[name]})  # type: ignore[arg-type]
        result = SimCluster(plan).run()
        assert result.failure is None, f"seed {seed}: {result.failure}\n{result.history[-30:]}"
        acknowledged += result.acknowledged
    assert acknowledged > 1_000


def test_the_same_seed_gives_the_same_history() -> None:
    plan = SimPlan(7, storm_s=5.0, calm_s=3.0, snapshot_entries=50)
    first, second = SimCluster(plan).run(), SimCluster(plan).run()
    assert first == second
    assert first.history != SimCluster(SimPlan(8, storm_s=5.0, calm_s=3.0)).run().history
