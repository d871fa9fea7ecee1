"""Cluster time runs only while this node leads, and never goes back."""

from __future__ import annotations

from coord.runtime.cluster_clock import ClusterClock

MS = 1_000_000


class Hand:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.ns = 123 * MS

    def __call__(self) -> int:
        return self.ns


def make() -> tuple[ClusterClock, Hand]:
    hand = Hand()
    return ClusterClock(monotonic_ns=hand, wall_ns=lambda: 5_000 * MS), hand


def test_stands_still_without_leading() -> None:
    clock, hand = make()
    clock.on_applied(700)
    hand.ns += 10_000 * MS
    assert clock.now_ms() == 700
    assert clock.wall_ms() == 5_000


def test_runs_on_from_the_last_stamp_while_leading() -> None:
    clock, hand = make()
    clock.on_applied(700)
    hand.ns += 10_000 * MS
    clock.start()
    assert clock.now_ms() == 700
    hand.ns += 250 * MS
    assert clock.now_ms() == 950


def test_own_stamps_coming_back_do_not_slow_it() -> None:
    clock, hand = make()
    clock.start()
    for _ in range(100):
        stamp = clock.now_ms()
        hand.ns += 5 * MS
        clock.on_applied(stamp)
        hand.ns += 5 * MS
    assert clock.now_ms() == 1_000


def test_a_later_stamp_of_an_earlier_leader_is_taken_over() -> None:
    clock, hand = make()
    clock.on_applied(700)
    clock.start()
    hand.ns += 10 * MS
    clock.on_applied(2_000)
    assert clock.now_ms() == 2_000
    hand.ns += 10 * MS
    assert clock.now_ms() == 2_010


def test_a_failover_costs_no_time() -> None:
    clock, hand = make()
    clock.start()
    hand.ns += 400 * MS
    clock.on_applied(300)
    clock.stop()
    assert clock.now_ms() == 300
    hand.ns += 60_000 * MS
    clock.start()
    assert clock.now_ms() == 300


def test_a_restored_snapshot_sets_it() -> None:
    clock, _ = make()
    clock.on_applied(100)
    clock.restored(9_000)
    assert clock.now_ms() == 9_000
