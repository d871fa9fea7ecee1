"""The simulator's sizes: large plans reach the limits and go beyond; all others draw nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.sim.plan import LEVELS, PROFILES, make_plan
from chaos.sim.sizes import Sizes
from chaos.sim.world import World
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected
from coord.core.batch import Applied
from coord.core.kv.commands import KvPut, KvTxn
from coord.core.tasks.commands import SubmitTasks

LARGE = make_plan(1, profile="sizes")
SMALL = make_plan(1, profile="everything")


def test_a_value_is_always_padded_alike() -> None:
    first, second = Sizes(LARGE, 1), Sizes(LARGE, 2)
    for value in range(200):
        padded = first.padded(value, 1_000)
        assert int(padded) == value
        assert padded == second.padded(value, 1_000)


@pytest.mark.parametrize("limit", [LIMITS.max_txn_ops, LIMITS.max_value_bytes])
def test_every_order_of_magnitude_the_limit_and_one_more(limit: int) -> None:
    sizes = Sizes(LARGE, 1)
    drawn = [sizes.count(1, limit) for _ in range(2_000)]
    assert max(drawn) == limit + 1
    assert drawn.count(limit) > 5
    assert drawn.count(1) > 1_000
    assert any(limit // 10 < count < limit for count in drawn)


def test_other_plans_draw_nothing() -> None:
    sizes = Sizes(SMALL, 1)
    assert sizes.padded(7, 1_000) == b"7"
    assert (sizes.count(3, 1_000), sizes.behind(), sizes.chance(1.0)) == (3, 0, False)
    assert [name for name, profile in PROFILES.items() if profile.large] == ["sizes"]


def test_seeds_choose_sizes_and_levels() -> None:
    plans = [make_plan(seed) for seed in range(200)]
    assert 2 <= sum(plan.large for plan in plans) <= 20
    assert {plan.level for plan in plans} == set(LEVELS)
    assert make_plan(3, engine="stock").level == 0


def test_a_large_run_meets_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused what is beyond them, and goes on; its leader has raised the level."""
    world = World(replace(LARGE, level=1, faults=()))
    largest, refused = 0, 0
    apply = world.invariants.machine.apply

    def watched(batch: object) -> Applied:
        nonlocal largest, refused
        applied = apply(batch)  # type: ignore[arg-type]
        for request, reply in zip(batch.requests, applied.replies, strict=True):  # type: ignore[attr-defined]
            match request.command:
                case KvPut(value=value):
                    largest = max(largest, len(value))
                case SubmitTasks() | KvTxn():
                    refused += isinstance(reply, Rejected) and reply.reason is Reason.TOO_LARGE
                case _:
                    pass
        return applied

    monkeypatch.setattr(world.invariants.machine, "apply", watched)
    result = world.run()
    assert result.failure is None
    assert largest > 100_000
    assert refused
    assert world.invariants.machine.state.level == 1
