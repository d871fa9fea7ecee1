"""A killed leader is replaced in one election, however many nodes there are and however busy."""

from __future__ import annotations

from statistics import median

import pytest

from coord.replication.election import Election, ElectionTimes
from tests.support.ballots import BUSY, IDLE, Ballot, Pace

SEEDS = range(60)
CLUSTERS = ((3, 1), (5, 1), (5, 2), (7, 1), (7, 3))  # nodes, and how many of them are lost


@pytest.mark.parametrize(("pace", "worst_s"), [(IDLE, 0.3), (BUSY, 0.5)], ids=["idle", "busy"])
@pytest.mark.parametrize(("size", "dead"), CLUSTERS)
def test_votes_are_hardly_ever_split(size: int, dead: int, pace: Pace, worst_s: float) -> None:
    """When all asked and stood as they pleased, 4 of 7 busy nodes needed another election in 62 of
    150 cases, and 3 of 5 took up to 2.4 s."""
    found = [Ballot(size, pace, seed).succession(dead) for seed in SEEDS]
    assert sum(one.terms > 1 for one in found) <= 1, found
    assert median(one.seconds for one in found) < worst_s / 2
    assert max(one.seconds for one in found) < worst_s, found


@pytest.mark.parametrize(
    ("size", "pace", "median_s", "worst_s"),
    [(3, IDLE, 0.097, 0.3), (5, BUSY, 0.22, 0.65)],
    ids=["3 idle", "5 busy"],
)
def test_a_follower_that_is_a_bit_behind_defers_to_one_that_is_not(
    size: int, pace: Pace, median_s: float, worst_s: float
) -> None:
    """Under load all but a majority are a few ms behind. One of those that stood first was refused,
    and the others waited for their own time: the median of three idle nodes was 106 ms, 10 of 120
    elections of five busy ones were split, and one took 1.3 s."""
    found = [Ballot(size, pace, seed).succession(1, writing=True) for seed in range(40)]
    assert median(one.seconds for one in found) < median_s, found
    assert max(one.seconds for one in found) < worst_s, found
    assert sum(one.terms > 1 for one in found) <= 1, found


@pytest.mark.parametrize(("size", "dead"), [(5, 1), (7, 2)])
def test_a_node_that_asks_and_hears_nothing_holds_nobody_up(size: int, dead: int) -> None:
    found = [Ballot(size, IDLE, seed).succession(dead, deaf=1) for seed in SEEDS]
    assert max(one.seconds for one in found) < 1.0, found


class Middle:
    """A source of no randomness."""

    def random(self) -> float:
        return 0.5


def election() -> Election:
    return Election(ElectionTimes(), Middle(), 0.0)  # type: ignore[arg-type]


def test_who_supports_a_peer_gives_it_time_once() -> None:
    ours = election()
    ours.lost_leader(10.0)
    assert ours.expired(10.1)
    ours.supports("n2", 5, 10.0)
    assert not ours.expired(10.1)
    assert ours.expired(10.2)
    ours.supports("n2", 5, 10.2)
    assert ours.expired(10.2), "it had its chance"
    ours.supports("n3", 5, 10.2)
    assert not ours.expired(10.2)
    ours.heard_leader(11.0)
    ours.lost_leader(12.0)
    ours.supports("n2", 5, 12.0)
    assert not ours.expired(12.1), "another leader was lost"


def test_its_own_request_is_over_when_it_supports_another() -> None:
    ours = election()
    ours.begin_round(10.0, 5)
    assert ours.insists(5)
    assert not ours.insists(6)
    ours.supports("n2", 5, 10.0)
    assert not ours.insists(5)
    assert ours.supported("n3", 5) == ()


def test_it_does_not_insist_on_what_came_to_nothing() -> None:
    ours = election()
    ours.begin_round(10.0, 5)
    ours.begin_round(11.0, 5)
    assert not ours.insists(5)
