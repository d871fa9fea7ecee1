"""Comparing the states of members: the rules, and one node's part step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coord.replication.engine_journal import EngineJournal
from coord.replication.errors import DivergenceError
from coord.replication.membership import Electorate, membership
from coord.replication.messages import Message
from coord.replication.outbox import Outbox
from coord.replication.state_check import KEEP, REST, StateCheck, StateVerdict, judge
from tests.support.replication import members_of

INTERVAL_S = 10.0
SLICES = 3


@pytest.mark.parametrize(
    ("size", "digests", "expected"),
    [
        (3, {}, StateVerdict.OPEN),
        (3, {"n2": "a", "n3": "a"}, StateVerdict.OPEN),  # nothing to compare with yet
        (3, {"n1": "a"}, StateVerdict.OPEN),
        (3, {"n1": "a", "n2": "a"}, StateVerdict.AGREES),
        (3, {"n1": "a", "n2": "a", "n3": "a"}, StateVerdict.AGREES),
        (3, {"n1": "a", "n2": "a", "n3": "b"}, StateVerdict.AGREES),
        (3, {"n1": "b", "n2": "a", "n3": "a"}, StateVerdict.DIVERGED),
        (3, {"n1": "a", "n2": "b"}, StateVerdict.SPLIT),
        (3, {"n1": "a", "n2": "b", "n3": "c"}, StateVerdict.SPLIT),
        (5, {"n1": "a", "n2": "a"}, StateVerdict.OPEN),
        (5, {"n1": "b", "n2": "a", "n3": "a"}, StateVerdict.SPLIT),  # two of five are no majority
        (5, {"n1": "b", "n2": "b", "n3": "a", "n4": "a", "n5": "a"}, StateVerdict.DIVERGED),
        (5, {"n1": "a", "n2": "b", "n3": "a", "n4": "b"}, StateVerdict.SPLIT),
        (2, {"n1": "a", "n2": "b"}, StateVerdict.SPLIT),
        (4, {"n1": "a", "n2": "a", "n3": "b", "n4": "b"}, StateVerdict.SPLIT),
        (1, {"n1": "a"}, StateVerdict.AGREES),
    ],
)
def test_what_the_digests_say_to_n1(
    size: int, digests: dict[str, str], expected: StateVerdict
) -> None:
    voters = [f"n{number}" for number in range(1, size + 1)]
    assert judge("n1", voters, digests) is expected


def test_a_member_that_does_not_vote_is_no_part_of_a_majority_but_obeys_it() -> None:
    voters = ["n1", "n2", "n3"]
    assert judge("n1", voters, {"n1": "a", "new": "a"}) is StateVerdict.OPEN
    assert judge("new", voters, {"new": "b", "n1": "a", "n2": "a"}) is StateVerdict.DIVERGED


class FrozenText:
    scheme = "test"

    def __init__(self, text: str) -> None:
        self._text = text
        self._left = SLICES
        self.closed = False

    def next_slice(self) -> str | None:
        self._left -= 1
        return None if self._left else self._text

    def close(self) -> None:
        self.closed = True


class World:
    """Node n1 of `size`; its state is a text, the test plays the others."""

    def __init__(self, size: int = 3) -> None:
        self.time = 0.0
        self.state = "s0"
        self.sent: list[tuple[str, Message]] = []
        self.sources: list[FrozenText] = []
        first = membership(0, members_of(*(f"n{number + 1}" for number in range(size))))
        journal = EngineJournal([], 0, None, 1, lambda sequence, operation: None, first)
        self.check = StateCheck(
            Electorate("n1", first),
            INTERVAL_S,
            self.freeze,
            Outbox(self.send, 1, journal),
            lambda: self.time,
        )

    def send(self, peer_id: str, message: Message) -> bool:
        self.sent.append((peer_id, message))
        return True

    def freeze(self) -> FrozenText:
        self.sources.append(FrozenText(self.state))
        return self.sources[-1]

    def lead(self, applied: int, last: int, after_s: float = INTERVAL_S) -> None:
        self.time += after_s
        self.check.tick(applied, last)

    def apply(self, index: int) -> None:
        self.check.before_apply(index)
        self.state = f"s{index}"

    def work(self, seconds_a_slice: float = 0.0) -> None:
        more = True
        while more:
            self.time += seconds_a_slice
            more = self.check.step()

    def hear(self, peer: str, index: int, digest: str, scheme: str = "test") -> None:
        message = {"index": index, "digest": digest, "scheme": scheme}
        self.check.handlers["digest"](peer, message)

    def told(self, kind: str, field: str = "digest") -> list[tuple[str, Any]]:
        found = [(peer, m[field]) for peer, m in self.sent if m["type"] == kind]
        self.sent.clear()
        return found


def test_a_leader_names_the_end_of_its_log_and_everybody_freezes_there() -> None:
    world = World()
    world.apply(3)
    world.lead(applied=3, last=5)
    assert world.told("check", "index") == [("n2", 5), ("n3", 5)]
    for index in (4, 5, 6, 7):
        world.apply(index)
    world.work()
    assert world.told("digest") == [("n2", "s5"), ("n3", "s5")]
    assert [source.closed for source in world.sources] == [True]


def test_entries_that_change_nothing_do_not_hide_the_moment() -> None:
    """Entry 5 opens a term: the state machine never sees it."""
    world = World()
    world.apply(4)
    world.check.named(5, applied_index=4)
    world.apply(6)
    world.work()
    assert world.told("digest") == [("n2", "s4"), ("n3", "s4")]
    world.check.named(8, applied_index=6)
    world.check.tick(applied_index=8, leads_up_to=None)
    world.work()
    assert world.told("digest") == [("n2", "s6"), ("n3", "s6")]


def test_an_index_that_is_behind_or_leapt_over_is_left_out() -> None:
    world = World()
    world.apply(5)
    world.check.named(4, applied_index=5)
    world.check.tick(5, None)
    world.check.named(7, applied_index=5)
    world.check.state_replaced(9)
    world.check.tick(9, None)
    world.apply(10)
    assert not world.sources
    world.check.named(12, applied_index=10)
    world.check.state_replaced(12)
    world.check.tick(12, None)
    assert len(world.sources) == 1


def test_one_digest_at_a_time() -> None:
    world = World()
    world.check.named(0, applied_index=0)
    world.check.named(1, applied_index=1)
    world.lead(applied=2, last=2)
    assert len(world.sources) == 1
    assert world.told("check", "index") == []


def test_the_larger_the_state_the_rarer_the_check() -> None:
    world = World()
    world.lead(applied=1, last=1)
    world.work(seconds_a_slice=2.0)
    world.sent.clear()
    rest_s = REST * SLICES * 2.0
    world.lead(applied=2, last=2, after_s=rest_s - 0.1)
    assert world.told("check", "index") == []
    world.lead(applied=2, last=2, after_s=0.2)
    assert world.told("check", "index") == [("n2", 2), ("n3", 2)]


def test_a_log_at_rest_is_checked_until_all_have_agreed() -> None:
    world = World()
    world.lead(applied=4, last=4)
    world.work()
    world.hear("n2", 4, "s0")
    world.sent.clear()
    world.lead(applied=4, last=4)
    assert world.told("check", "index") == [("n2", 4), ("n3", 4)]
    world.work()
    world.sent.clear()
    world.hear("n3", 4, "s0")
    world.lead(applied=4, last=4)
    assert world.told("check", "index") == []
    world.lead(applied=4, last=5)
    assert world.told("check", "index") == [("n2", 5), ("n3", 5)]


def test_agreement_is_remembered_and_one_that_differs_is_named() -> None:
    world = World()
    world.check.named(4, 4)
    world.work()
    assert world.check.checked_index == 0
    world.hear("n3", 4, "x")
    assert world.check.checked_index == 0
    world.hear("n2", 4, "s0")
    assert world.check.checked_index == 4
    assert "n3" in world.check.problem
    world.check.named(5, 5)
    world.work()
    world.hear("n2", 5, "s0")
    assert world.check.checked_index == 5
    assert world.check.problem == ""


@pytest.mark.parametrize("own_last", [True, False])
def test_a_node_against_a_majority_stops_and_says_what_to_do(own_last: bool) -> None:
    world = World()
    world.check.named(4, 4)
    steps: list[Callable[[], None]] = [
        lambda: world.hear("n2", 4, "x"),
        lambda: world.hear("n3", 4, "x"),
        world.work,
    ]
    if not own_last:
        steps = [steps[2], *steps[:2]]
    steps[0]()
    steps[1]()
    with pytest.raises(DivergenceError) as caught:
        steps[2]()
    for words in ("entry 4", "s0", "n2 x, n3 x", "rejoins by itself", "keep it for analysis"):
        assert words in str(caught.value)


def test_without_a_majority_it_is_reported_when_the_others_had_their_time() -> None:
    world = World()
    world.check.named(4, 4)
    world.work()
    world.hear("n2", 4, "x")
    world.lead(4, 4, after_s=INTERVAL_S / 2)
    assert world.check.problem == ""
    world.lead(4, 4, after_s=INTERVAL_S)
    assert "none is shared by a majority" in world.check.problem
    assert "n1 s0, n2 x" in world.check.problem
    assert world.told("check", "index") == [("n2", 4), ("n3", 4)]  # comparing goes on
    world.work()
    world.hear("n3", 4, "s0")
    assert "n2" in world.check.problem
    assert "majority, this node included" in world.check.problem


def test_other_schemes_are_not_compared() -> None:
    world = World()
    world.check.named(4, 4)
    world.work()
    world.hear("n2", 4, "x", scheme="newer")
    world.hear("n3", 4, "x", scheme="newer")
    world.lead(4, 4)
    assert world.check.checked_index == 0
    assert world.check.problem == ""


def test_what_is_kept_of_others_is_bounded() -> None:
    world = World()
    for index in range(1, 1_000):
        world.hear("n2", index, "x")
    assert len(world.check._known["n2"]) == KEEP
    world.check.named(999, 999)
    world.work()
    with pytest.raises(DivergenceError):
        world.hear("n3", 999, "x")


def test_no_interval_no_check() -> None:
    world = World()
    world.check._interval_s = 0
    world.lead(applied=4, last=4)
    assert world.told("check", "index") == []
