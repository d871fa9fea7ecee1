"""Simulated clusters under faults: every promise holds, on every seed."""

from __future__ import annotations

import pytest
from _pytest.mark.structures import ParameterSet

from chaos.sim.plan import PROFILES
from tests.support.sim import run_seed, told

SEEDS_IN_ONE = 10
# Seeds that reach what was found once, at level 0: each fails when that defect is put back. They
# must stay clean: (seed, nodes, profile).
FOUND: list[tuple[int, int, str | None]] = [
    (1, 3, "bad-starts"),  # killed between a failed sync and the cut of what it left
    (5, 3, "bad-starts"),
    (222, 3, "changes"),  # a removed node, added again, is told late of its removal and stops
    (516, 3, "changes"),
    # A leader commits what it has not synced in the tick in which it gives up.
    (521, 3, "full-disks"),
    (586, 3, "full-disks"),
]


def _firsts(until: int, all_until: int) -> list[ParameterSet]:
    """Of the groups of seeds; those from `until` on only in the full-length form."""
    full = pytest.mark.long
    return [
        pytest.param(first, marks=full if first >= until else ())
        for first in range(0, all_until, SEEDS_IN_ONE)
    ]


@pytest.mark.parametrize("first", _firsts(100, 1_000))
def test_seeds_of_three_nodes_are_clean(first: int) -> None:
    for seed in range(first, first + SEEDS_IN_ONE):
        report = run_seed(seed)
        assert report.failure is None, told(report)
        assert report.acknowledged > 20, report.plan.replay()


@pytest.mark.parametrize("nodes", [4, 5, 7])
def test_seeds_of_larger_clusters_are_clean(nodes: int) -> None:
    for seed in range(4):
        report = run_seed(seed, nodes=nodes)
        assert report.failure is None, told(report)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_is_clean(profile: str) -> None:
    """Also those under which the published engine fails."""
    for seed in range(3):
        report = run_seed(1_000 + seed, profile=profile)
        assert report.failure is None, told(report)


@pytest.mark.parametrize(("seed", "nodes", "profile"), FOUND)
def test_seeds_found_once_stay_clean(seed: int, nodes: int, profile: str | None) -> None:
    report = run_seed(seed, nodes=nodes, profile=profile, level=0)
    assert report.failure is None, told(report)
