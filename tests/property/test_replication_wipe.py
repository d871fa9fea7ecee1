"""Simulated clusters whose nodes lose their whole disks, one at a time, beside all other faults:
every promise holds, and they come back by themselves. Without admission that is not so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.sim.plan import make_plan
from coord.journal import Admission
from coord.replication.own_admission import OwnAdmission
from tests.support.replication_wipe import WipingWorld


def _plan(seed: int, nodes: int, profile: str | None) -> WipingWorld:
    plan = make_plan(seed, nodes=nodes, profile=profile)
    # Nodes with rotten disks stay down, and one loss at a time is enough.
    kept = tuple(fault for fault in plan.faults if fault.kind not in {"bit_rot", "new_disk"})
    return WipingWorld(replace(plan, faults=kept))


@pytest.mark.parametrize(
    ("nodes", "profile", "seeds"),
    [(3, None, 10), (3, "kills", 6), (3, "links", 6), (3, "snapshots", 6), (5, None, 4)],
)
def test_nodes_that_lose_their_disks_break_no_promise(
    nodes: int, profile: str | None, seeds: int
) -> None:
    wiped = 0
    for seed in range(seeds):
        world = _plan(seed, nodes, profile)
        result = world.run()
        assert result.failure is None, f"seed {seed}: {result.failure}\n{result.notes[-40:]}"
        wiped += world.wiped
    assert wiped > seeds


def test_votes_of_nodes_that_forgot_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node takes part as soon as it is up, as if it had lost nothing."""

    def hasty(self: OwnAdmission, stored: Admission) -> None:
        self.stored, self.votes, self.follows = stored, True, True

    monkeypatch.setattr(OwnAdmission, "note", hasty)
    failures = [_plan(seed, 3, "kills").run().failure for seed in range(12)]
    assert any(failures)
