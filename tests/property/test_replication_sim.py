"""Simulated clusters under faults: nothing acknowledged is lost, nothing diverges, all converge."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from chaos.sim.cluster import SimCluster, SimPlan

_PLANS = {
    "messages of 600 bytes": {"batch_bytes": 600},
    "messages of 200 bytes": {"batch_bytes": 200},
    "snapshots at 50 entries": {"batch_bytes": 600, "snapshot_entries": 50},
    "five nodes": {"batch_bytes": 200, "snapshot_entries": 200, "nodes": 5},
}


@pytest.mark.parametrize("name", _PLANS)
def test_seeds_are_clean(name: str) -> None:
    acknowledged = 0
    for seed in range(3):
        plan = SimPlan(seed, **{"storm_s": 10.0, "calm_s": 6.0, **_PLANS[name]})  # type: ignore[arg-type]
        result = SimCluster(plan).run()
        assert result.failure is None, f"seed {seed}: {result.failure}\n{result.history[-30:]}"
        acknowledged += result.acknowledged
    assert acknowledged > 500


def test_the_same_seed_gives_the_same_history() -> None:
    plan = SimPlan(7, storm_s=5.0, calm_s=3.0, snapshot_entries=50)
    first, second = SimCluster(plan).run(), SimCluster(plan).run()
    assert first == second
    assert first.history != SimCluster(SimPlan(8, storm_s=5.0, calm_s=3.0)).run().history


_PRINT_HISTORY = """
from chaos.sim.cluster import SimCluster, SimPlan
print(SimCluster(SimPlan(3, storm_s=4.0, calm_s=2.0, snapshot_entries=50)).run())
"""


def test_the_history_does_not_depend_on_the_process() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _PRINT_HISTORY],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout.split(b"SimResult")[-1]
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
