"""The published engine on the same simulated world: each defect is found by the same checks, and
the product's engine passes on the same seeds.

A seed's history depends on everything that runs in it. Several seeds are recorded for a defect, so
that a change elsewhere does not lose it; one that still shows it is enough.
"""

from __future__ import annotations

import pytest

from tests.support.sim import run_seed, told

SILENT = ("converge", "within")  # how the liveness checks begin to complain

# defect -> (profile, nodes, seeds on which committed data was lost or contradicted)
RECORDED: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "A1": ("only-dumps", 3, (91, 85, 110)),
    "A2": ("only-dumps", 3, (6, 55, 59)),
    "A3": ("only-transfers", 3, (92, 138, 218)),
    "A4": ("only-torn", 3, (1, 24, 34, 37)),
    "A5": ("only-links", 3, (35, 14, 32)),
    "B1": ("only-power", 3, (1, 5, 9, 14)),
    "B2": ("only-dumps", 3, (4, 55, 110)),
    "B3": ("only-delays", 5, (4, 7, 9, 18)),
}


@pytest.mark.parametrize("defect", RECORDED)
def test_a_defect_of_the_published_engine_is_found(defect: str) -> None:
    profile, nodes, seeds = RECORDED[defect]
    seen = []
    for seed in seeds:
        report = run_seed(seed, nodes=nodes, engine="stock", profile=profile)
        seen.append(f"{seed}: {report.failure} {report.witnesses}")
        unsafe = report.failure is not None and not any(w in report.failure for w in SILENT)
        if unsafe and defect in report.witnesses:
            return
    pytest.fail(f"{defect} does not show any more:\n" + "\n".join(seen))


@pytest.mark.parametrize("defect", RECORDED)
def test_the_same_seeds_are_clean_with_the_mends(defect: str) -> None:
    profile, nodes, seeds = RECORDED[defect]
    for seed in seeds:
        report = run_seed(seed, nodes=nodes, profile=profile)
        assert report.failure is None, told(report)


def test_a_vote_is_told_before_it_is_durable() -> None:
    """B1 again, where it begins: a vote leaves the node, and its disk does not have it."""
    report = run_seed(0, engine="stock", profile="only-votes")
    assert report.failure is not None
    assert "has told of its vote" in report.failure


def test_conflicts_back_off_one_entry_a_round() -> None:
    """C2: long after everything is healed, a node with a long conflicting tail is still away."""
    for seed in (15, 1, 17, 22):
        report = run_seed(seed, engine="stock", profile="only-links")
        if report.failure is not None and "converged" in report.failure:
            return
    pytest.fail("every seed converges")
