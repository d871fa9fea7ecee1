"""Garbage collection in a node: full collections come only when they are quick."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from coord.runtime.gc import ScheduledGc, building


class Cycle:
    def __init__(self) -> None:
        self.me = self


def cycles() -> int:
    return sum(type(one) is Cycle for one in gc.get_objects())


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.collect()


def age(collections: int) -> None:
    """What is there grows old."""
    for _ in range(collections):
        gc.collect(1)


async def test_old_garbage_is_found_while_the_old_generation_is_small() -> None:
    scheduled = ScheduledGc(period_s=3_600)
    scheduled.start()
    cycle = Cycle()
    age(2)
    del cycle
    assert cycles() == 1
    scheduled.look()
    assert cycles() == 0
    scheduled.stop()


async def test_what_grows_fast_is_set_apart_unseen() -> None:
    scheduled = ScheduledGc(period_s=3_600)
    scheduled.start()
    state = [[one] for one in range(5_000)]
    cycle = Cycle()
    age(30)
    frozen, full = gc.get_freeze_count(), gc.get_stats()[2]["collections"]
    del cycle
    scheduled.look()
    assert gc.get_freeze_count() >= frozen + len(state)
    assert gc.get_stats()[2]["collections"] == full
    scheduled.stop()


async def test_nothing_is_done_when_nothing_grew_old() -> None:
    scheduled = ScheduledGc(period_s=3_600)
    scheduled.start()
    frozen, full = gc.get_freeze_count(), gc.get_stats()[2]["collections"]
    scheduled.look()
    assert gc.get_freeze_count() <= frozen
    assert gc.get_stats()[2]["collections"] == full
    scheduled.stop()


async def test_stopping_puts_the_thresholds_back() -> None:
    before = gc.get_threshold()
    scheduled = ScheduledGc()
    scheduled.start()
    assert gc.get_threshold() != before
    scheduled.stop()
    scheduled.stop()
    assert gc.get_threshold() == before


def test_nothing_is_collected_while_building() -> None:
    with building():
        assert not gc.isenabled()
        with building():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failed_build_freezes_nothing() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(ValueError, match="bad"), building():
        raise ValueError("bad")
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
