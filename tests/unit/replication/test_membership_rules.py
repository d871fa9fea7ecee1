"""Members and their changes: the rules alone."""

from __future__ import annotations

from itertools import combinations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.replication.errors import InvariantError
from coord.replication.membership import (
    MAX_MEMBERS,
    Electorate,
    Membership,
    MembershipHistory,
    changed,
    decode_members,
    encode_members,
    membership,
)
from coord.replication.port import (
    AddLearner,
    Member,
    MembershipChange,
    MembershipRefusal,
    MembershipRefusedError,
    Promote,
    Remove,
)
from tests.support.replication import members_of

THREE = membership(0, members_of("n1", "n2", "n3"))
WITH_LEARNER = membership(4, members_of("n1", "n2", "n3", learners=["n4"]))
(N4,) = members_of("n4")


def test_a_new_node_is_a_learner_and_counts_for_nothing() -> None:
    after = membership(1, changed(THREE, AddLearner(N4)))
    assert after.ids == ("n1", "n2", "n3", "n4")
    assert after.voters == ("n1", "n2", "n3")


def test_promotion_and_removal() -> None:
    assert membership(5, changed(WITH_LEARNER, Promote("n4"))).voters == ("n1", "n2", "n3", "n4")
    assert membership(5, changed(WITH_LEARNER, Remove("n4"))).ids == ("n1", "n2", "n3")
    assert membership(5, changed(WITH_LEARNER, Remove("n2"))).voters == ("n1", "n3")


@pytest.mark.parametrize(
    ("present", "change", "reason"),
    [
        (THREE, AddLearner(Member("n1", "x:1", "x:2")), MembershipRefusal.MEMBER_EXISTS),
        (THREE, AddLearner(Member("n4", "n2:1", "x:2")), MembershipRefusal.ADDRESS_IN_USE),
        (THREE, AddLearner(Member("n4", "x:2", "n2:1")), MembershipRefusal.ADDRESS_IN_USE),
        (THREE, AddLearner(Member("n4", "x:1", "x:1")), MembershipRefusal.ADDRESS_IN_USE),
        (THREE, Promote("n9"), MembershipRefusal.UNKNOWN_MEMBER),
        (THREE, Promote("n2"), MembershipRefusal.ALREADY_VOTER),
        (THREE, Remove("n9"), MembershipRefusal.UNKNOWN_MEMBER),
        (
            membership(1, members_of("n1", learners=["n2"])),
            Remove("n1"),
            MembershipRefusal.LAST_VOTER,
        ),
        (
            membership(1, members_of(*(f"n{i}" for i in range(MAX_MEMBERS)))),
            AddLearner(Member("x", "x:1", "x:2")),
            MembershipRefusal.TOO_MANY_MEMBERS,
        ),
        (
            membership(1, members_of(*(f"n{i}" for i in range(7)), learners=["n8"])),
            Promote("n8"),
            MembershipRefusal.TOO_MANY_MEMBERS,
        ),
    ],
)
def test_refusals(present: Membership, change: MembershipChange, reason: MembershipRefusal) -> None:
    with pytest.raises(MembershipRefusedError) as refused:
        changed(present, change)
    assert refused.value.reason is reason
    assert refused.value.definite


IDS = [f"n{i}" for i in range(8)]


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=7, unique=True))
    voters = draw(st.integers(1, len(ids)))
    return membership(1, members_of(*ids[:voters], learners=ids[voters:]))


CHANGES = st.one_of(
    st.sampled_from(IDS).map(lambda i: AddLearner(Member(i, f"{i}:1", f"{i}:2"))),
    st.sampled_from(IDS).map(Promote),
    st.sampled_from(IDS).map(Remove),
)


@given(memberships(), CHANGES)
def test_any_two_majorities_before_and_after_a_change_share_a_node(
    present: Membership, change: MembershipChange
) -> None:
    try:
        after = membership(2, changed(present, change))
    except MembershipRefusedError:
        return
    for one in _majorities(present):
        for other in _majorities(after):
            assert one & other


def _majorities(present: Membership) -> list[set[str]]:
    """The smallest ones, counted by brute force."""
    voters = present.voters
    return [set(chosen) for chosen in combinations(voters, len(voters) // 2 + 1)]


@given(memberships())
def test_an_electorate_counts_as_a_count_by_hand_does(present: Membership) -> None:
    for self_id in present.ids:
        electorate = Electorate(self_id, present)
        for size in range(len(IDS)):
            for supporters in combinations(IDS, size):
                counted = {*supporters, self_id} & set(present.voters)
                expected = len(counted) * 2 > len(present.voters)
                assert electorate.is_majority(set(supporters) - {self_id}) is expected
            if size > 3:
                break


@given(memberships())
def test_what_is_encoded_is_decoded(present: Membership) -> None:
    assert decode_members(encode_members(present.members)) == present.members


ROW = ["n1", "n1:1", "n1:2", False]


@pytest.mark.parametrize(
    "rows",
    [
        None,
        [],
        {},
        [ROW, ROW],
        [["n2", "", "", False], ROW],
        [["n1", "n1:1", "n1:2", True]],
        [["n1", "n1:1", "n1:2"]],
        [["n1", "n1:1", "n1:2", 0]],
        [["", "n1:1", "n1:2", False]],
        [["n" * 600, "n1:1", "n1:2", False]],
        [[f"n{i}", "", "", False] for i in range(MAX_MEMBERS + 1)],
    ],
)
def test_what_is_no_list_of_members_is_refused(rows: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_members(msgpack.packb(rows))


@given(st.binary(max_size=40))
def test_no_bytes_surprise_the_decoder(data: bytes) -> None:
    try:
        decode_members(data)
    except ValueError:
        return


def test_a_history_follows_its_log() -> None:
    history = MembershipHistory(THREE)
    four, five = Membership(10, WITH_LEARNER.members), Membership(20, THREE.members)
    history.append(four)
    history.append(five)
    assert [history.at(i) for i in (1, 9, 10, 19, 20, 99)] == [THREE, THREE, four, four, five, five]
    with pytest.raises(InvariantError):
        history.append(Membership(20, THREE.members))
    history.cut_from(20)
    assert history.latest is four
    history.forget_before(12)
    history.cut_from(5)
    assert history.latest is four, "what came before the log is never cut off"
    history.reset(five)
    assert history.at(3) is five
