"""How old a state can be: a follower, a leader, and both in a replica; all in small steps."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from coord.replication.staleness import MAX_PENDING, StalenessBound, StalenessRounds
from tests.support.replica_world import ReplicaWorld as World

RUN = 7


class Follower:
    """A node with a clock of its own."""

    def __init__(self) -> None:
        self.boot_id = RUN
        self.time = 1_000.0
        self.bound = StalenessBound(self, lambda: self.time)


def test_nothing_is_known_at_first_and_an_empty_mark_says_nothing() -> None:
    node = Follower()
    node.bound.confirmed([])
    assert node.bound.age_ms(100) is None


def test_the_age_counts_from_the_mark_and_is_rounded_up() -> None:
    node = Follower()
    node.time = 1_000.0009
    mark = node.bound.mark()
    assert mark == 1_000_000
    node.time += 0.5
    node.bound.confirmed([RUN, mark, 5])
    assert node.bound.age_ms(5) == 501
    node.time += 60
    assert node.bound.age_ms(5) == 60_501


def test_a_mark_counts_when_its_index_is_applied() -> None:
    node = Follower()
    node.bound.confirmed([RUN, 999_000, 5])
    assert node.bound.age_ms(4) is None
    node.bound.confirmed([RUN, 999_500, 9])
    assert node.bound.age_ms(8) == 1_001
    assert node.bound.age_ms(9) == 501


def test_a_mark_of_an_earlier_run_says_nothing() -> None:
    node = Follower()
    node.bound.confirmed([RUN - 1, 999_000, 5])
    assert node.bound.age_ms(5) is None


def test_an_older_mark_changes_nothing() -> None:
    node = Follower()
    node.bound.confirmed([RUN, 999_900, 5])
    node.bound.confirmed([RUN, 999_000, 5])
    assert node.bound.age_ms(5) == 101
    node.bound.confirmed([RUN, 999_000, 5])
    assert node.bound.age_ms(5) == 101


def test_a_node_that_applies_nothing_keeps_few_marks_and_still_gets_fresher() -> None:
    node = Follower()
    for number in range(10 * MAX_PENDING):
        node.bound.confirmed([RUN, 900_000 + number, number])
    assert len(node.bound._pending) == MAX_PENDING
    assert node.bound.age_ms(10) == 1_000_000 - 900_010 + 1
    assert node.bound.age_ms(10 * MAX_PENDING) == 1_000_000 - (900_000 + 10 * MAX_PENDING - 1) + 1


def of_three(supporters: Collection[str]) -> bool:
    return len(supporters) >= 1


def answer(rounds: StalenessRounds, own: StalenessBound, peer: str, append: int, mark: int) -> None:
    message: dict[str, Any] = {"append": append, "boot": RUN, "mark": mark}
    rounds.answered(peer, message, own)


def test_a_mark_is_given_back_when_a_majority_answered_what_was_sent_after_it() -> None:
    leader = Follower()
    rounds = StalenessRounds(of_three)
    answer(rounds, leader.bound, "n2", 1, 100)
    answer(rounds, leader.bound, "n3", 1, 200)
    rounds.begin(5, leader.bound, {"n2": 1, "n3": 1})
    leader.time += 1.0
    answer(rounds, leader.bound, "n2", 1, 110)  # to an append from before the round
    assert rounds.confirmed == {}
    assert leader.bound.age_ms(5) is None
    answer(rounds, leader.bound, "n2", 2, 120)
    assert rounds.confirmed == {"n2": (RUN, 100, 5), "n3": (RUN, 200, 5)}
    assert leader.bound.age_ms(5) == 1_001
    rounds.begin(8, leader.bound, {"n2": 2, "n3": 2})
    answer(rounds, leader.bound, "n3", 3, 210)
    assert rounds.confirmed == {"n2": (RUN, 120, 8), "n3": (RUN, 200, 5)}


def test_a_round_that_nobody_answers_lasts() -> None:
    leader = Follower()
    rounds = StalenessRounds(of_three)
    rounds.begin(5, leader.bound, {})
    leader.time += 100
    rounds.begin(9, leader.bound, {})
    answer(rounds, leader.bound, "n2", 1, 100)
    assert leader.bound.age_ms(5) == 100_001


def test_a_leader_alone_knows_everything() -> None:
    leader = Follower()
    rounds = StalenessRounds(lambda supporters: True)
    rounds.begin(5, leader.bound, {})
    assert leader.bound.age_ms(5) == 1


def lead(world: World) -> None:
    """Its first entry is committed."""
    world.lead()
    world.sync()
    appends = {peer: m for peer, m in world.outbox if m["type"] == "append"}
    ack(world, "n2", appends["n2"]["append"])


def ack(world: World, peer: str, append: int, mark: int = 100) -> None:
    last = world.replica.journal.last_index
    fields = {"next": last + 1, "success": True, "reset": False, "read": 0, "mark": mark}
    world.deliver(peer, "ack", 1, append=append, **fields)


def last_append(world: World, peer: str) -> Any:
    return [m for to, m in world.outbox if to == peer and m["type"] == "append"][-1]


def test_a_leader_confirms_marks_and_ages_when_it_is_cut_off() -> None:
    world = World()
    lead(world)
    world.tick(0.2)  # begins a round; the append of this tick is sent after it
    world.tick(0.2)
    ack(world, "n2", last_append(world, "n2")["append"], mark=300)
    assert world.replica.age_ms() == 201
    world.tick(0.2)
    assert last_append(world, "n2")["fresh"] == [1, 100, world.replica.engine.commit_index]
    assert last_append(world, "n3")["fresh"] == []
    for _ in range(4):
        world.tick(0.2)
    assert world.replica.age_ms() == 1_201


def test_a_follower_that_was_stopped_is_as_old_as_its_pause() -> None:
    """The append was in its socket all the time: it is no news, however late it is read."""
    world = World()
    world.append("n2", 1, [1, b"\x00a"])
    world.sync()
    mark = next(m["mark"] for _, m in world.take("ack"))
    assert mark == int(world.time * 1000)
    world.append("n2", 1, prev=2, prev_term=1, commit=2, append=2, fresh=[1, mark, 2])
    world.tick()  # it is applied
    assert world.replica.age_ms() == 1
    world.time += 30.0
    world.append("n2", 1, prev=2, prev_term=1, commit=2, append=3, fresh=[1, mark, 2])
    assert world.replica.age_ms() == 30_001
