"""Elections at the level of one replica: who is asked, who may be answered, what waits for disk."""

from __future__ import annotations

import pytest

from coord.replication.port import NotLeaderError, Role, WriteBlockedError
from tests.support.replica_world import ReplicaWorld as World


def test_a_silent_leader_brings_a_question_and_no_higher_term() -> None:
    world = World()
    world.tick(5.0)
    assert [(p, m["wanted"]) for p, m in world.take("pre_vote")] == [("n2", 1), ("n3", 1)]
    assert world.replica.engine.term == 0
    for _ in range(100):
        world.tick(1.0)
    assert world.replica.engine.term == 0


def test_with_a_majority_for_it_the_election_begins_and_its_vote_is_durable_first() -> None:
    world = World()
    world.tick(5.0)
    world.outbox.clear()
    world.deliver("n3", "pre_vote_reply", 0, wanted=1, granted=True)
    assert world.replica.engine.role is Role.CANDIDATE
    assert world.take("vote_request") == []
    world.sync()
    assert [peer for peer, _ in world.take("vote_request")] == ["n2", "n3"]


def test_a_refusal_or_an_answer_to_another_question_is_no_support() -> None:
    world = World(5)
    world.tick(5.0)
    world.deliver("n2", "pre_vote_reply", 0, wanted=1, granted=False)
    world.deliver("n3", "pre_vote_reply", 0, wanted=7, granted=True)
    world.deliver("n4", "pre_vote_reply", 0, wanted=1, granted=True)
    world.deliver("n4", "pre_vote_reply", 0, wanted=1, granted=True)
    assert world.replica.engine.term == 0
    world.deliver("n5", "pre_vote_reply", 0, wanted=1, granted=True)
    assert world.replica.engine.term == 1


def test_a_voter_is_counted_once() -> None:
    world = World(5)
    world.tick(5.0)
    for peer in ("n2", "n3"):
        world.deliver(peer, "pre_vote_reply", 0, wanted=1, granted=True)
    world.sync()
    for _ in range(3):
        world.deliver("n2", "vote", 1)
    assert world.replica.engine.role is Role.CANDIDATE
    world.deliver("n3", "vote", 1)
    assert world.replica.engine.role is Role.LEADER


def test_who_hears_a_leader_neither_supports_nor_votes() -> None:
    world = World()
    world.append("n2", 3)
    world.outbox.clear()
    world.deliver("n3", "pre_vote", 3, wanted=4, last_index=9, last_term=3)
    assert [m["granted"] for _, m in world.take("pre_vote_reply")] == [False]
    world.deliver("n3", "vote_request", 4, last_index=9, last_term=3, forced=False)
    assert world.replica.engine.term == 3
    world.replica.disconnected("n2")
    world.deliver("n3", "pre_vote", 3, wanted=4, last_index=9, last_term=3)
    assert [m["granted"] for _, m in world.take("pre_vote_reply")] == [True]


def test_a_vote_leaves_when_it_is_durable_and_only_one_a_term() -> None:
    world = World()
    world.deliver("n2", "vote_request", 5, last_index=9, last_term=3, forced=False)
    world.deliver("n3", "vote_request", 5, last_index=9, last_term=3, forced=False)
    assert world.take("vote") == []
    world.sync()
    assert [peer for peer, _ in world.take("vote")] == ["n2"]


def test_a_vote_of_an_earlier_run_stands() -> None:
    world = World(term=5, voted_for="n2")
    world.deliver("n3", "vote_request", 5, last_index=9, last_term=3, forced=False)
    world.sync()
    assert world.take("vote") == []


def test_a_candidate_with_a_shorter_log_gets_nothing() -> None:
    world = World()
    world.append("n2", 3, [3, b"\x00a"])
    world.replica.disconnected("n2")
    world.outbox.clear()
    world.deliver("n3", "pre_vote", 3, wanted=4, last_index=1, last_term=0)
    assert [m["granted"] for _, m in world.take("pre_vote_reply")] == [False]
    world.deliver("n3", "vote_request", 4, last_index=1, last_term=0, forced=False)
    world.sync()
    assert world.take("vote") == []


def ahead(*, lost: bool = True) -> World:
    """Has an entry of term 3 that not all have; `lost`: their leader n2 is gone."""
    world = World(5)
    world.append("n2", 3, [3, b"\x00a"])
    world.sync()
    if lost:
        world.replica.disconnected("n2")
    world.outbox.clear()
    return world


BEHIND = {"wanted": 4, "last_index": 1, "last_term": 0}


def test_who_is_ahead_of_a_candidate_stands_in_its_place_once() -> None:
    world = ahead()
    world.deliver("n3", "pre_vote", 3, **BEHIND)
    asked = world.take("pre_vote")
    assert [peer for peer, _ in asked] == ["n2", "n3", "n4", "n5"]
    assert asked[0][1]["wanted"] == 4
    world.deliver("n4", "pre_vote", 3, **BEHIND)
    assert world.take("pre_vote") == [], "it has asked already"


@pytest.mark.parametrize("why", ["it hears a leader", "it gave way", "its disk is full", "term"])
def test_who_is_ahead_of_a_candidate_may_have_reasons_not_to_stand(why: str) -> None:
    world = ahead(lost=why != "it hears a leader")
    behind = dict(BEHIND)
    if why == "it gave way":
        world.deliver("n4", "pre_vote", 3, wanted=4, last_index=9, last_term=3)
    if why == "its disk is full":
        world.replica.block_writes("DISK_FULL")
        world.replica.tick()
    if why == "term":
        behind["wanted"] = 5
    world.outbox.clear()
    world.deliver("n3", "pre_vote", 3, **behind)
    assert world.take("pre_vote") == []


def test_an_old_term_is_told_the_new_one() -> None:
    world = World(term=7)
    world.append("n2", 6)
    assert [(p, m["term"]) for p, m in world.take("stale")] == [("n2", 7)]
    world.deliver("n3", "vote_request", 6, last_index=9, last_term=3, forced=False)
    assert [(p, m["term"]) for p, m in world.take("stale")] == [("n3", 7)]


def test_only_the_present_leader_can_hand_over() -> None:
    world = World()
    world.append("n2", 3)
    world.deliver("n3", "timeout_now", 3)
    world.deliver("n2", "timeout_now", 2)
    assert world.replica.engine.role is Role.FOLLOWER
    world.deliver("n2", "timeout_now", 3)
    assert (world.replica.engine.role, world.replica.engine.term) == (Role.CANDIDATE, 4)
    world.sync()
    assert [m["forced"] for _, m in world.take("vote_request")] == [True, True]


def test_an_acknowledgement_waits_for_the_disk_and_presence_does_not() -> None:
    world = World()
    world.append("n2", 3, [3, b"\x00a"], read=4)
    assert [m["type"] for _, m in world.outbox] == ["seen"]
    assert world.outbox[0][1]["read"] == 4
    world.outbox.clear()
    world.sync()
    assert [(m["next"], m["success"]) for _, m in world.take("ack")] == [(3, True)]


def test_a_read_needs_a_committed_entry_of_this_term_and_a_later_answer() -> None:
    world = World()
    world.lead()
    got: list[int | None] = []
    world.replica.read(got.append)
    world.replica.flush()
    world.deliver("n2", "seen", 1, append=1, read=world.replica.leading.reads.number)
    assert got == []  # its first entry is not committed
    world.deliver("n2", "ack", 1, append=1, next=3, success=True, reset=False, read=0)
    world.sync()
    assert world.replica.engine.commit_index == 2
    assert got == []  # that answer was to an append sent before the read's round
    world.deliver("n3", "seen", 1, append=2, read=1)
    assert got == [2]


def test_reads_end_when_leadership_does() -> None:
    world = World()
    world.lead()
    got: list[int | None] = []
    world.replica.read(got.append)
    world.append("n3", 9)
    assert got == [None]
    with pytest.raises(NotLeaderError):
        world.replica.read(got.append)


def test_no_proposals_while_leadership_is_on_its_way_out() -> None:
    world = World()
    world.lead()
    world.deliver("n2", "ack", 1, append=1, next=3, success=True, reset=False, read=0)
    world.sync()
    outcomes: list[str | None] = []
    assert world.replica.transfer(None, outcomes.append) == "n2"
    assert [peer for peer, _ in world.take("timeout_now")] == ["n2"]
    with pytest.raises(WriteBlockedError):
        world.replica.propose(b"x")
    for _ in range(40):
        world.deliver("n2", "seen", 1, append=1, read=0)
        world.tick(0.1)
    assert outcomes == [None]
    world.replica.propose(b"x")


def test_messages_of_strangers_and_repeated_ones_do_nothing() -> None:
    world = World()
    world.append("n9", 3)
    assert world.replica.engine.term == 0
    message = {"type": "stale", "term": 4, "boot": 1, "number": 50}
    world.replica.receive("n2", dict(message))
    assert world.replica.engine.term == 4
    world.replica.receive("n2", {**message, "term": 9})
    assert world.replica.engine.term == 4


def test_a_read_is_not_confirmed_by_an_answer_to_an_earlier_append() -> None:
    world = World()
    world.lead()
    world.deliver("n2", "ack", 1, append=1, next=3, success=True, reset=False, read=0)
    world.sync()
    got: list[int | None] = []
    world.replica.read(got.append)
    world.replica.flush()
    asked = world.replica.leading.reads.number
    world.deliver("n3", "seen", 1, append=1, read=asked - 1)
    assert got == []
    world.deliver("n3", "seen", 1, append=2, read=asked)
    assert got == [2]


@pytest.mark.parametrize(
    ("last_term", "last_index", "granted"),
    [(2, 9, False), (3, 2, True), (3, 1, False), (4, 2, True), (4, 1, True)],
)
def test_logs_are_compared_by_their_last_term_first(
    last_term: int, last_index: int, granted: bool
) -> None:
    """A longer log of an earlier term may lack what was committed in a later one."""
    world = World()
    world.append("n2", 3, [3, b"\x00a"])
    world.replica.disconnected("n2")
    world.outbox.clear()
    log = {"last_index": last_index, "last_term": last_term}
    world.deliver("n3", "pre_vote", 4, wanted=5, **log)
    assert [m["granted"] for _, m in world.take("pre_vote_reply")] == [granted]
    world.deliver("n3", "vote_request", 5, **log, forced=False)
    world.sync()
    assert [peer for peer, _ in world.take("vote")] == (["n3"] if granted else [])


def test_an_answer_to_an_earlier_leadership_counts_for_nothing() -> None:
    world = World()
    world.lead()
    index, _ = world.replica.propose(b"of the first term")
    world.append("n3", 2, prev=1)  # which n3 leads, and says nothing more
    world.tick(5.0)
    for kind, fields in (("pre_vote_reply", {"wanted": 3, "granted": True}), ("vote", {})):
        world.deliver("n2", kind, 2 if fields else 3, **fields)
        world.sync()
    assert (world.replica.engine.role, world.replica.engine.term) == (Role.LEADER, 3)
    got: list[int | None] = []
    world.replica.read(got.append)
    world.replica.flush()
    last = world.replica.journal.last_index
    answer = {"next": last + 1, "success": True, "reset": False, "read": 99}
    world.deliver("n2", "ack", 1, append=1, **answer)
    world.sync()
    assert world.replica.engine.match_index("n2") == 0
    assert world.replica.engine.commit_index < index
    assert got == []
    world.deliver("n2", "ack", 3, append=1, **answer)
    assert world.replica.engine.commit_index == last
