"""Thrifty replication: a quorum is sent entries at once, everybody when the quorum takes long."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from coord.replication.thrifty import PATIENCE_MAX_S, PATIENCE_MIN_S, ThriftyReplication

DELAY_S = 0.02
SOON_S = PATIENCE_MIN_S - 1e-6
LONG_S = PATIENCE_MIN_S + 1e-6
THREE = ("n2", "n3")
FIVE = ("n2", "n3", "n4", "n5")


def thrifty_for(voters: Collection[str], delay_s: float = DELAY_S) -> ThriftyReplication:
    """Of a leader whose other voters these are."""
    thrifty = ThriftyReplication(lambda some: 2 * (len(some) + 1) > len(voters) + 1, delay_s)
    thrifty.choose(sorted(voters))
    return thrifty


def due(
    thrifty: ThriftyReplication, lacking: Collection[str], now: float, **sent_at: float
) -> list[str]:
    return sorted(thrifty.due(sorted(lacking), sent_at, lambda _: 0, now))


@pytest.mark.parametrize(("voters", "quorum"), [(("n2",), 1), (THREE, 1), (FIVE, 2)])
def test_the_quorum_is_as_small_as_a_majority_needs(voters: tuple[str, ...], quorum: int) -> None:
    assert len(thrifty_for(voters).quorum) == quorum


def test_a_single_voter_needs_nobody() -> None:
    assert not thrifty_for(()).quorum


def test_too_few_for_a_majority_are_all_in_the_quorum() -> None:
    thrifty = thrifty_for(FIVE)
    thrifty.choose(["n4"])
    assert thrifty.quorum == {"n4"}


def test_the_others_wait_and_then_get_theirs() -> None:
    thrifty = thrifty_for(THREE)
    thrifty.note(4, 5, now=1.0)
    assert due(thrifty, THREE, 1.0, n2=0.999, n3=0.99) == ["n2"]
    assert due(thrifty, THREE, 1.0, n2=0.999, n3=0.98) == ["n2", "n3"]


def test_who_was_never_sent_anything_does_not_wait() -> None:
    assert due(thrifty_for(THREE), ["n3"], 1.0) == ["n3"]


def test_nobody_waits_when_it_is_switched_off() -> None:
    assert due(thrifty_for(THREE, delay_s=0), THREE, 1.0, n2=1.0, n3=1.0) == ["n2", "n3"]


def test_everybody_is_told_when_a_majority_takes_long() -> None:
    thrifty = thrifty_for(THREE)
    thrifty.note(4, 5, now=1.0)
    late = 1.0 + LONG_S
    assert not thrifty.is_late(1.0 + SOON_S)
    assert thrifty.is_late(late)
    assert due(thrifty, THREE, late, n2=late, n3=late) == ["n2", "n3"]


def test_who_kept_the_others_waiting_leaves_the_quorum() -> None:
    thrifty = thrifty_for(THREE)
    first = set(thrifty.quorum)
    thrifty.note(4, 5, now=1.0)
    thrifty.due(THREE, {}, lambda _: 4, 1.0 + LONG_S)
    thrifty.choose(THREE)
    assert thrifty.quorum == set(THREE) - first
    thrifty.note(5, 5, now=1.1)
    thrifty.note(5, 6, now=1.2)  # and back, if the other one is no better
    thrifty.due(THREE, {}, lambda _: 5, 1.2 + PATIENCE_MAX_S)
    thrifty.choose(THREE)
    assert thrifty.quorum == first


def test_who_had_answered_stays_in_the_quorum() -> None:
    thrifty = thrifty_for(FIVE)
    reliable, slow = sorted(thrifty.quorum)
    thrifty.note(4, 5, now=1.0)
    thrifty.due(FIVE, {}, lambda voter: 5 if voter == reliable else 4, 1.0 + LONG_S)
    thrifty.choose(FIVE)
    assert reliable in thrifty.quorum
    assert slow not in thrifty.quorum


def test_one_stall_is_held_against_them_once() -> None:
    thrifty = thrifty_for(THREE)
    thrifty.note(4, 5, now=1.0)
    late = 1.0 + LONG_S
    thrifty.due(THREE, {}, lambda _: 4, late)
    thrifty.choose(THREE)
    other = set(thrifty.quorum)
    thrifty.due(THREE, {}, lambda _: 4, late + 0.001)
    thrifty.choose(THREE)
    assert thrifty.quorum == other


def test_patience_follows_what_is_usual() -> None:
    thrifty = thrifty_for(THREE)
    for index in range(50):  # each takes 10 ms
        thrifty.note(index, index + 1, now=index * 0.01)
    thrifty.note(50, 50, now=0.5)
    thrifty.note(50, 51, now=1.0)
    assert not thrifty.is_late(1.03)
    assert thrifty.is_late(1.045)


def test_patience_has_a_bound() -> None:
    thrifty = thrifty_for(THREE)
    for index in range(50):  # each takes a second
        thrifty.note(index, index + 1, now=float(index))
    thrifty.note(50, 50, now=50.0)
    thrifty.note(50, 51, now=60.0)
    assert thrifty.is_late(60.0 + PATIENCE_MAX_S + 1e-6)


def test_nothing_is_late_that_is_committed() -> None:
    thrifty = thrifty_for(THREE)
    thrifty.note(4, 5, now=1.0)
    thrifty.note(5, 5, now=1.001)
    assert not thrifty.is_late(9.0)


def test_reads_are_late_like_entries() -> None:
    thrifty = thrifty_for(THREE)
    thrifty.note_read(True, 1.0)
    assert not thrifty.read_is_late(1.0 + SOON_S)
    assert thrifty.read_is_late(1.0 + LONG_S)
    thrifty.note_read(False, 1.1)
    assert not thrifty.read_is_late(9.0)
