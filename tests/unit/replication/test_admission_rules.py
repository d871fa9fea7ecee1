"""Who may vote, and when: the rules alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from coord.journal import Admission, Standing
from coord.replication.admission import (
    BeginToVote,
    Choose,
    Decision,
    Facts,
    Follow,
    Wait,
    decide,
    has_caught_up,
)
from coord.replication.membership import Membership, membership
from tests.support.replication import members_of

ALL = (("n1", 1), ("n2", 2), ("n3", 3))
NEW = Admission(1, Standing.SILENT)
CHOSEN = Admission(1, Standing.SILENT, ALL)


def of_size(size: int) -> Membership:
    return membership(0, members_of(*(f"n{number}" for number in range(1, size + 1))))


THREE = of_size(3)


def fresh(incarnation: int, **more: Any) -> Facts:
    values: dict[str, Any] = {"virgin": True, "votes": False, "term": 0, "founders": (), **more}
    values.setdefault("membership", THREE)
    return Facts(incarnation, **values)


def voter(incarnation: int, term: int, **more: Any) -> Facts:
    return fresh(incarnation, **{"virgin": False, "votes": True, "term": term, **more})


def judge(own: Admission, virgin: bool = True, size: int = 3, **answers: Facts) -> Decision:
    told = {peer: replace(facts, membership=of_size(size)) for peer, facts in answers.items()}
    return decide("n1", own, virgin, of_size(size), told)


def test_one_node_alone_founds_its_cluster() -> None:
    assert judge(NEW, size=1) == Choose((("n1", 1),))
    assert judge(Admission(1, Standing.SILENT, (("n1", 1),)), size=1) == BeginToVote()


def test_founders_are_chosen_when_all_have_answered_and_are_new() -> None:
    assert isinstance(judge(NEW), Wait)
    assert isinstance(judge(NEW, n2=fresh(2)), Wait)
    assert judge(NEW, n2=fresh(2), n3=fresh(3)) == Choose(ALL)
    assert judge(NEW, n2=fresh(2, founders=ALL), n3=fresh(3)) == Choose(ALL)


def test_a_founder_votes_when_all_others_have_chosen_the_same() -> None:
    chosen = {"n2": fresh(2, founders=ALL)}
    assert isinstance(judge(CHOSEN, **chosen), Wait)
    assert isinstance(judge(CHOSEN, **chosen, n3=fresh(3)), Wait)
    assert judge(CHOSEN, **chosen, n3=fresh(3, founders=ALL)) == BeginToVote()


def test_one_voter_with_the_same_founders_vouches() -> None:
    assert judge(CHOSEN, n2=voter(2, 7, founders=ALL)) == BeginToVote()
    other = (("n1", 9), ("n2", 2), ("n3", 3))
    assert isinstance(judge(CHOSEN, n2=voter(2, 7, founders=other)), Wait)
    assert isinstance(judge(NEW, n2=voter(2, 7, founders=other)), Wait)
    assert isinstance(judge(NEW, n2=voter(2, 7)), Wait)


def test_nobody_chooses_with_one_who_has_chosen_others_or_has_data() -> None:
    """n1 has lost its directory; what n2 or n3 know of the old one must not be passed over."""
    old = (("n1", 9), ("n2", 2), ("n3", 3))
    for n2 in (fresh(2, founders=old), fresh(2, virgin=False), fresh(2, term=1, virgin=False)):
        assert isinstance(judge(NEW, n2=n2, n3=fresh(3)), Wait)
    assert isinstance(judge(NEW, virgin=False, n2=fresh(2), n3=fresh(3)), Wait)


def test_nobody_chooses_twice() -> None:
    decision = judge(CHOSEN, n2=fresh(22), n3=fresh(3, founders=ALL))
    assert isinstance(decision, Wait)
    assert "being founded" in decision.why


def test_a_node_rejoins_at_the_highest_term_that_all_others_answered() -> None:
    assert isinstance(judge(NEW, n2=voter(2, 5)), Wait)
    assert judge(NEW, n2=voter(2, 5), n3=voter(3, 8)) == Follow(8)
    assert judge(CHOSEN, n2=voter(22, 5), n3=voter(33, 8)) == Follow(8)


def test_a_majority_has_to_have_kept_its_data() -> None:
    assert isinstance(judge(NEW, n2=voter(2, 5), n3=fresh(3)), Wait)
    three = {"n2": voter(2, 5), "n3": voter(3, 6), "n4": voter(4, 4)}
    assert judge(NEW, size=5, **three, n5=fresh(5)) == Follow(6)
    assert isinstance(judge(NEW, size=5, **{**three, "n4": fresh(4)}, n5=fresh(5)), Wait)


def test_one_who_follows_is_only_waiting_for_the_log() -> None:
    following = Admission(1, Standing.FOLLOWS)
    assert isinstance(judge(following, n2=voter(2, 5), n3=voter(3, 8)), Wait)
    founder = Admission(1, Standing.FOLLOWS, ALL)
    assert judge(founder, n2=voter(2, 5, founders=ALL)) == BeginToVote()


@pytest.mark.parametrize(
    ("told", "told_term", "term", "durable", "expected"),
    [
        (9, 4, 4, 9, True),
        (9, 4, 4, 12, True),
        (9, 4, 4, 8, False),  # not all of it is on disk
        (9, 3, 4, 9, False),  # the leader does not know yet what is committed
        (9, None, 4, 8, False),
    ],
)
def test_caught_up(
    told: int, told_term: int | None, term: int, durable: int, expected: bool
) -> None:
    assert has_caught_up(told, told_term, term, durable) is expected
