"""Whom a leader tells at once: as few as make a majority, everybody when these take long."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from coord.replication.thrifty import PATIENCE_MAX_S, PATIENCE_MIN_S, Pace

LAZY_S = 0.02
SOON_S = PATIENCE_MIN_S - 1e-6
LONG_S = PATIENCE_MIN_S + 1e-6
THREE = ("n2", "n3")
FIVE = ("n2", "n3", "n4", "n5")


def pace_of(voters: Collection[str], lazy_s: float = LAZY_S) -> Pace:
    """Of a leader whose other voters these are."""
    pace = Pace(lambda some: 2 * (len(some) + 1) > len(voters) + 1, lazy_s)
    pace.choose(sorted(voters))
    return pace


def due(pace: Pace, lacking: Collection[str], now: float, **sent_at: float) -> list[str]:
    return sorted(pace.due(sorted(lacking), sent_at, lambda _: 0, now))


@pytest.mark.parametrize(("voters", "eager"), [(("n2",), 1), (THREE, 1), (FIVE, 2)])
def test_as_many_are_eager_as_a_majority_needs(voters: tuple[str, ...], eager: int) -> None:
    assert len(pace_of(voters).eager) == eager


def test_a_single_voter_needs_nobody() -> None:
    assert not pace_of(()).eager


def test_too_few_for_a_majority_are_all_eager() -> None:
    pace = pace_of(FIVE)
    pace.choose(["n4"])
    assert pace.eager == {"n4"}


def test_the_others_wait_and_then_get_theirs() -> None:
    pace = pace_of(THREE)
    pace.note(4, 5, now=1.0)
    assert due(pace, THREE, 1.0, n2=0.999, n3=0.99) == ["n2"]
    assert due(pace, THREE, 1.0, n2=0.999, n3=0.98) == ["n2", "n3"]


def test_who_was_never_sent_anything_does_not_wait() -> None:
    assert due(pace_of(THREE), ["n3"], 1.0) == ["n3"]


def test_nobody_waits_when_it_is_switched_off() -> None:
    assert due(pace_of(THREE, lazy_s=0), THREE, 1.0, n2=1.0, n3=1.0) == ["n2", "n3"]


def test_everybody_is_told_when_a_majority_takes_long() -> None:
    pace = pace_of(THREE)
    pace.note(4, 5, now=1.0)
    late = 1.0 + LONG_S
    assert not pace.is_late(1.0 + SOON_S)
    assert pace.is_late(late)
    assert due(pace, THREE, late, n2=late, n3=late) == ["n2", "n3"]


def test_who_kept_the_others_waiting_is_not_eager_any_more() -> None:
    pace = pace_of(THREE)
    first = set(pace.eager)
    pace.note(4, 5, now=1.0)
    pace.due(THREE, {}, lambda _: 4, 1.0 + LONG_S)
    pace.choose(THREE)
    assert pace.eager == set(THREE) - first
    pace.note(5, 5, now=1.1)
    pace.note(5, 6, now=1.2)  # and back, if the other one is no better
    pace.due(THREE, {}, lambda _: 5, 1.2 + PATIENCE_MAX_S)
    pace.choose(THREE)
    assert pace.eager == first


def test_who_had_answered_stays_eager() -> None:
    pace = pace_of(FIVE)
    reliable, slow = sorted(pace.eager)
    pace.note(4, 5, now=1.0)
    pace.due(FIVE, {}, lambda voter: 5 if voter == reliable else 4, 1.0 + LONG_S)
    pace.choose(FIVE)
    assert reliable in pace.eager
    assert slow not in pace.eager


def test_one_stall_is_held_against_them_once() -> None:
    pace = pace_of(THREE)
    pace.note(4, 5, now=1.0)
    late = 1.0 + LONG_S
    pace.due(THREE, {}, lambda _: 4, late)
    pace.choose(THREE)
    other = set(pace.eager)
    pace.due(THREE, {}, lambda _: 4, late + 0.001)
    pace.choose(THREE)
    assert pace.eager == other


def test_patience_follows_what_is_usual() -> None:
    pace = pace_of(THREE)
    for index in range(50):  # each takes 10 ms
        pace.note(index, index + 1, now=index * 0.01)
    pace.note(50, 50, now=0.5)
    pace.note(50, 51, now=1.0)
    assert not pace.is_late(1.03)
    assert pace.is_late(1.045)


def test_patience_has_a_bound() -> None:
    pace = pace_of(THREE)
    for index in range(50):  # each takes a second
        pace.note(index, index + 1, now=float(index))
    pace.note(50, 50, now=50.0)
    pace.note(50, 51, now=60.0)
    assert pace.is_late(60.0 + PATIENCE_MAX_S + 1e-6)


def test_nothing_is_late_that_is_committed() -> None:
    pace = pace_of(THREE)
    pace.note(4, 5, now=1.0)
    pace.note(5, 5, now=1.001)
    assert not pace.is_late(9.0)


def test_reads_are_late_like_entries() -> None:
    pace = pace_of(THREE)
    pace.note_read(True, 1.0)
    assert not pace.read_is_late(1.0 + SOON_S)
    assert pace.read_is_late(1.0 + LONG_S)
    pace.note_read(False, 1.1)
    assert not pace.read_is_late(9.0)
