"""How late the machine is: measured by a sleeper that wakes up when it can."""

from __future__ import annotations

import itertools
import threading

import pytest

from chaos.histories.lateness import EVERY_S, Lateness, Sleeper


def watched(*slept_s: float, crowd: float = 1.0) -> Lateness:
    """What a sleeper says whose rests took so long, among so many others for each core."""
    clock = itertools.accumulate((0.0, *slept_s))
    rests = iter([False] * len(slept_s) + [True])
    sleeper = Sleeper(lambda: next(clock), lambda _: next(rests), lambda: crowd)
    sleeper.watch()
    return sleeper.so_far


def test_a_thread_that_wakes_up_in_time_is_not_late() -> None:
    assert watched(*[EVERY_S] * 9) == Lateness(0, 0.0, 1.0)
    assert watched() == Lateness(0, 0.0)
    assert not watched(*[EVERY_S * 1.2] * 9).complaint


@pytest.mark.parametrize("slept_s", [(EVERY_S + 1.5, *[EVERY_S] * 999), (EVERY_S * 1.5,) * 9])
def test_long_or_lasting_lateness_is_complained_about(slept_s: tuple[float, ...]) -> None:
    assert "too busy to say" in watched(*slept_s).complaint


def test_a_crowd_is_complained_about() -> None:
    assert not watched(*[EVERY_S] * 9, crowd=2.9).complaint
    assert "3.5 wanted each core" in watched(*[EVERY_S] * 9, crowd=3.5).complaint


def test_a_thread_watches_until_it_is_left() -> None:
    with Sleeper() as sleeper:
        while not sleeper._wakings:
            threading.Event().wait(EVERY_S / 5)
    assert 0 <= sleeper.so_far.share < 1
    assert sleeper.so_far.crowd >= 0
    assert not sleeper._thread.is_alive()
