"""The checks of simulated runs, each given what it must refuse and what it must not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from chaos.sim.base_node import Entry, SimNode
from chaos.sim.invariants import Invariants, Violation
from coord.codec.envelope import encode_envelope, to_batch
from coord.core.batch import Applied
from coord.core.machine import Machine


@dataclass
class FakeNode:
    node_id: str = "n1"
    term: int = 1
    entries: list[Entry] = field(default_factory=list)
    vote: tuple[int, str | None] = (0, None)
    alive: bool = True
    held: bool = True

    def log(self) -> list[Entry]:
        return self.entries

    def stored_vote(self) -> tuple[int, str | None]:
        return self.vote

    def holds(self, index: int, term: int) -> bool:
        return self.held

    def digest(self) -> str:
        return "digest"


def node(*arguments: Any, **fields: Any) -> SimNode:
    return cast(SimNode, FakeNode(*arguments, **fields))


def log(*terms: int) -> list[Entry]:
    return [(b"%d" % term, index, term) for index, term in enumerate(terms, 1)]


def apply(invariants: Invariants, index: int, term: int, now_ms: int, at_s: float) -> None:
    """An entry of `term` is made at `at_s` and applied by a node of that term."""
    data = encode_envelope(now_ms, 0, [])
    invariants.stamped(data, at_s)
    applied = Applied([], [], 0)
    invariants.apply(node(term=term), index, term, data, applied)


def test_two_leaders_in_a_term() -> None:
    invariants = Invariants()
    invariants.leader(node("n1", 3, log(1)))
    invariants.leader(node("n1", 3, log(1)))
    with pytest.raises(Violation, match="two leaders in term 3"):
        invariants.leader(node("n2", 3, log(1)))


def test_two_votes_in_a_term() -> None:
    invariants = Invariants()
    invariants.votes_for("n1", 3, "n2")
    invariants.votes_for("n1", 3, "n2")
    invariants.votes_for("n1", 4, "n3")
    with pytest.raises(Violation, match="voted twice in term 3"):
        invariants.votes_for("n1", 3, "n3")


def test_the_disk_is_never_behind_what_was_told() -> None:
    invariants = Invariants()
    invariants.disk_vote(node(vote=(3, "n2")))
    invariants.votes_for("n1", 3, "n2")
    invariants.disk_vote(node(vote=(3, "n2")))
    with pytest.raises(Violation, match="fell from 3 to 2"):
        invariants.disk_vote(node(vote=(2, "n2")))
    with pytest.raises(Violation, match="has told of its vote"):
        invariants.disk_vote(node(vote=(3, None)))


def test_a_new_disk_has_told_nothing_and_still_votes_once() -> None:
    invariants = Invariants()
    invariants.votes_for("n1", 3, "n2")
    invariants.votes_for("n1", 4, "n1")  # in vain: nobody else has stored that term
    invariants.disk_lost("n1", 3)
    invariants.disk_vote(node(vote=(0, None)))
    invariants.votes_for("n1", 4, "n2")
    with pytest.raises(Violation, match="voted twice"):
        invariants.votes_for("n1", 3, "n3")


def test_a_leader_without_what_an_earlier_term_committed() -> None:
    invariants = Invariants()
    apply(invariants, 1, 1, 0, 0.0)
    apply(invariants, 2, 2, 1, 0.1)
    invariants.leader(node("n1", 3, log(1, 2)))
    with pytest.raises(Violation, match="with a log up to 1"):
        invariants.leader(node("n1", 4, log(1)))
    with pytest.raises(Violation, match="with an entry 2 of term 3"):
        invariants.leader(node("n1", 5, log(1, 3)))


def test_a_leader_of_an_old_term_need_not_have_what_a_later_one_committed() -> None:
    """It was stalled between winning and acting on it (seed 2200)."""
    invariants = Invariants()
    apply(invariants, 1, 1, 0, 0.0)
    apply(invariants, 2, 4, 1, 0.1)
    invariants.leader(node("n1", 3, log(1)))


@pytest.mark.parametrize(
    ("ours", "theirs", "good"),
    [
        ((1, 1, 2), (1, 1, 2), True),
        ((1, 1, 2), (1, 1, 3), True),  # conflicting tails
        ((1, 1, 2, 2), (1, 1), True),
        ((1, 2, 3), (1, 1, 3), False),
        ((2, 2, 3), (1, 2, 3), False),
    ],
)
def test_logs_match_before_a_match(
    ours: tuple[int, ...], theirs: tuple[int, ...], good: bool
) -> None:
    nodes = [node("n1", entries=log(*ours)), node("n2", entries=log(*theirs))]
    if good:
        Invariants().logs(nodes)
    else:
        with pytest.raises(Violation, match="match behind"):
            Invariants().logs(nodes)


def test_a_log_with_a_gap() -> None:
    with pytest.raises(Violation, match="the log of n1 has 2 entries from 1 to 3"):
        Invariants().logs([node("n1", entries=[log(1, 1, 1)[0], log(1, 1, 1)[2]])])


def test_another_entry_at_the_same_index() -> None:
    invariants = Invariants()
    apply(invariants, 1, 1, 0, 0.0)
    with pytest.raises(Violation, match="another entry 1"):
        apply(invariants, 1, 1, 5, 0.1)
    with pytest.raises(Violation, match="of term 2, not 1"):
        apply(invariants, 1, 2, 0, 0.0)


def test_another_answer_to_the_same_entry() -> None:
    invariants = Invariants()
    apply(invariants, 1, 1, 0, 0.0)
    data = encode_envelope(0, 0, [])
    wrong = Machine().apply(to_batch(data))
    wrong.replies.append(cast(Any, "something"))
    with pytest.raises(Violation, match="answered entry 1 differently"):
        invariants.apply(node("n2"), 1, 1, data, wrong)


def test_an_acknowledgement_needs_a_majority() -> None:
    invariants = Invariants()
    apply(invariants, 1, 1, 0, 0.0)
    down = node("n3", alive=False, held=False)
    invariants.acknowledge(1, 1, [node("n1"), node("n2", held=False), down])
    with pytest.raises(Violation, match="not durable on"):
        invariants.acknowledge(1, 1, [node("n1"), node("n2", held=False), node("n3", held=False)])


def test_cluster_time_ahead_of_every_clock() -> None:
    invariants = Invariants()
    apply(invariants, 1, 1, 1_000, 10.0)
    apply(invariants, 2, 1, 2_040, 11.0)  # a clock that is 4 % fast
    with pytest.raises(Violation, match="leases were shortened"):
        apply(invariants, 3, 1, 4_000, 12.0)


def test_an_entry_nobody_made() -> None:
    with pytest.raises(Violation, match="nobody proposed"):
        Invariants().apply(node(), 1, 1, encode_envelope(0, 0, []), Applied([], [], 0))


def test_starting_from_what_is_not_durable() -> None:
    Invariants().recovered(node(), [])
    with pytest.raises(Violation, match="not durable"):
        Invariants().recovered(node(), ["/node/journal/1.wal"])
