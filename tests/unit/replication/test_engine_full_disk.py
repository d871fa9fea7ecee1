"""Followers with a full disk: what waits for it is bounded, and so is what their leader does."""

from __future__ import annotations

from typing import Any

import pytest

from coord.replication.port import ReplicationError, Role, WriteBlockedError
from coord.replication.settings import ReplicaSettings
from coord.replication.storage.writes import AppendEntry
from tests.support.replica_world import ReplicaWorld as World

COMMAND = b"r" + b"x" * 99
ENTRY_BYTES = len(COMMAND) + 16
SMALL = ReplicaSettings(max_unsynced_bytes=10 * ENTRY_BYTES, max_in_flight_bytes=10 * ENTRY_BYTES)


def follower() -> World:
    """Follows n2 in term 1, and its disk is full."""
    world = World(settings=SMALL)
    world.append("n2", 1)
    world.sync()
    world.replica.block_writes("DISK_FULL")
    world.outbox.clear()
    return world


def send(world: World, number: int, prev: int, count: int = 1, **more: Any) -> None:
    entries = [[1, COMMAND]] * count
    prev_term = 1 if prev > 1 else 0
    world.append("n2", 1, *entries, prev=prev, prev_term=prev_term, append=number, **more)


def queued(world: World) -> int:
    entries = [op.entry for op in world.operations if isinstance(op, AppendEntry)]
    return sum(command == COMMAND for command, _, _ in entries)


def test_a_follower_takes_no_more_entries_than_its_bound() -> None:
    world = follower()
    for number in range(1, 101):
        send(world, number, prev=number)
    assert queued(world) == 10
    assert world.replica.journal.last_index == 11
    assert world.replica.journal.unsynced_bytes == 10 * ENTRY_BYTES
    assert world.take("ack") == [], "neither confirmed, nor asked for again in a storm"


def test_what_it_passed_over_is_asked_for_once_there_is_room() -> None:
    world = follower()
    for number in range(1, 21):
        send(world, number, prev=number)
    world.outbox.clear()
    world.sync()
    acks = [(m["append"], m["next"], m["success"]) for _, m in world.take("ack")]
    assert acks == [(number, number + 2, True) for number in range(1, 11)]
    send(world, 21, prev=21)
    ((peer, gap),) = world.take("ack")
    assert (peer, gap["next"], gap["reset"]) == ("n2", 12, True)
    send(world, 22, prev=11, count=10)
    assert queued(world) == 20
    world.sync()
    assert [m["next"] for _, m in world.take("ack")] == [22]
    assert world.replica.journal.unsynced_bytes == 0


def test_entries_that_are_here_already_are_answered_however_full_the_disk_is() -> None:
    world = follower()
    send(world, 1, prev=1, count=10)
    send(world, 2, prev=1, count=10, commit=11)
    assert world.replica.engine.commit_index == 11
    assert queued(world) == 10


def test_entries_cut_off_while_they_wait_still_count() -> None:
    world = follower()
    send(world, 1, prev=1, count=9)
    world.append("n3", 2, [2, COMMAND], prev=1, append=1)
    journal = world.replica.journal
    assert (journal.last_index, journal.unsynced_bytes) == (2, 10 * ENTRY_BYTES)
    world.append("n3", 2, [2, COMMAND], prev=2, prev_term=2, append=2)
    assert journal.last_index == 2
    world.sync()
    assert (journal.unsynced_bytes, journal.synced_index) == (0, 2)


def test_acknowledgements_that_wait_for_one_write_are_one() -> None:
    world = follower()
    send(world, 1, prev=1, count=3)
    for number in range(2, 1_002):
        world.append("n2", 1, prev=0, append=number, read=number)
    world.outbox.clear()
    world.sync()
    ((peer, ack),) = world.take("ack")
    assert (peer, ack["append"], ack["next"], ack["read"]) == ("n2", 1_001, 5, 1_001)
    assert (ack["success"], ack["reset"]) == (True, False)


def test_the_leader_is_told_that_it_is_followed_by_a_full_disk() -> None:
    world = follower()
    world.time += 1.0
    send(world, 1, prev=1)
    assert [m["full"] for _, m in world.take("seen")] == [True]
    world.replica.block_writes(None)
    world.time += 1.0
    send(world, 2, prev=2)
    assert [m["full"] for _, m in world.take("seen")] == [False]


def test_a_node_with_a_full_disk_stands_only_if_no_other_does() -> None:
    world = follower()
    world.tick()
    world.tick(1.9)
    assert world.take("pre_vote") == []
    world.append("n3", 2, prev=2, prev_term=1)  # this one does
    world.tick()
    world.tick(1.9)
    assert world.take("pre_vote") == []
    world.tick(0.2)
    assert len(world.take("pre_vote")) == 2


def votes_for(world: World, peer: str, term: int, last_index: int) -> list[str]:
    """Ask for the vote of a node whose leader fell silent; whom it has told its vote."""
    world.time += 1.0
    ask = {"last_index": last_index, "last_term": 1, "forced": False}
    world.deliver(peer, "vote_request", term, **ask)
    return [voted for voted, _ in world.take("vote")]


def test_a_vote_waits_for_the_vote_alone_when_the_disk_is_full() -> None:
    """Entries before it may never be kept: they count for the vote, and are not acknowledged."""
    world = follower()
    send(world, 1, prev=1, count=3)
    assert votes_for(world, "n3", 2, 4 - 1) == [], "its log lacks one of them"
    assert votes_for(world, "n3", 3, 4) == []
    world.replica.vote_stored(len(world.operations) - 1)
    assert world.take("vote") == [], "the vote is the last operation"
    world.replica.vote_stored(len(world.operations))
    assert [(peer, m["term"]) for peer, m in world.outbox] == [("n3", 3)]
    assert [m["type"] for _, m in world.outbox] == ["vote"]
    world.outbox.clear()
    world.sync()
    assert [(m["term"], m["next"]) for _, m in world.take("ack")] == [(1, 5)]


def test_a_vote_that_was_not_stored_before_the_next_term_is_never_told() -> None:
    world = follower()
    assert votes_for(world, "n3", 2, 4) == []
    assert votes_for(world, "n2", 3, 4) == []
    world.replica.vote_stored(len(world.operations))
    assert [(peer, m["term"]) for peer, m in world.take("vote")] == [("n2", 3)]


def test_a_candidate_with_a_full_disk_asks_when_its_own_vote_is_stored() -> None:
    world = follower()
    send(world, 1, prev=1)
    world.deliver("n2", "timeout_now", 1)
    assert world.take("vote_request") == []
    world.replica.vote_stored(len(world.operations))
    assert len(world.take("vote_request")) == 2
    world.deliver("n3", "vote", 2)
    assert world.replica.engine.role is Role.LEADER
    world.deliver("n3", "ack", 2, append=1, next=4, **_TAKEN)
    assert world.replica.engine.commit_index == 1, "its own copy does not count"


def test_a_leader_stops_sending_to_a_follower_that_confirms_nothing() -> None:
    world = World(settings=SMALL)
    world.lead()
    number = {"n2": 1, "n3": 1}
    world.outbox.clear()
    sent = 0
    for _ in range(200):
        world.replica.propose(b"x" * 99)
        world.replica.flush()
        world.sync()
        world.tick(0.05)
        appends = world.take("append")
        sent += sum(len(m["entries"]) for peer, m in appends if peer == "n3")
        for peer, message in appends:
            number[peer] = message["append"]
        last = world.replica.journal.last_index + 1
        world.deliver("n2", "ack", 1, append=number["n2"], next=last, **_TAKEN)
        world.deliver("n3", "seen", 1, append=number["n3"], read=0, full=True)
    assert world.replica.engine.commit_index > 190, "the others go on"
    assert 10 <= sent <= 12


_TAKEN = {"success": True, "reset": False, "read": 0}


def leader_whose_disk_took_no(size: int = 3) -> World:
    """All have what it led with; its disk did not take what came next."""
    world = World(size)
    world.lead(*world.peers[: size // 2])
    for peer in world.peers:
        world.deliver(peer, "ack", 1, append=1, next=3, **_TAKEN)
    world.sync()
    world.replica.propose(b"one too many")
    world.replica.flush()
    world.replica.block_writes("DISK_FULL")
    with pytest.raises(WriteBlockedError, match="DISK_FULL"):
        world.replica.propose(b"x")
    return world


def told_to_lead(world: World) -> list[str]:
    world.tick(0.02)
    return [peer for peer, _ in world.take("timeout_now")]


def test_a_leader_hands_over_when_a_majority_without_it_kept_what_it_could_not() -> None:
    world = leader_whose_disk_took_no()
    assert told_to_lead(world) == []
    world.deliver("n2", "ack", 1, append=2, next=4, **_TAKEN)
    assert told_to_lead(world) == [], "with it alone, n2 could keep nothing either"
    world.deliver("n3", "ack", 1, append=2, next=4, **_TAKEN)
    assert told_to_lead(world) == ["n2"]


def test_of_five_it_hands_over_to_one_of_three_with_room() -> None:
    world = leader_whose_disk_took_no(5)
    world.deliver("n2", "seen", 1, append=2, read=0, full=True)
    for peer in ("n3", "n4"):
        world.deliver(peer, "ack", 1, append=2, next=4, **_TAKEN)
        assert told_to_lead(world) == []
    world.deliver("n5", "ack", 1, append=2, next=4, **_TAKEN)
    assert told_to_lead(world) == ["n3"]


def test_a_leader_with_a_full_disk_goes_on_leading_and_reading_if_the_others_are_full() -> None:
    world = leader_whose_disk_took_no()
    reads: list[int | None] = []
    for number in range(100):
        for peer in ("n2", "n3"):
            world.deliver(peer, "seen", 1, append=2, read=number, full=peer == "n2")
        world.tick(0.05)
        world.replica.read(reads.append)
        world.replica.flush()
    assert world.replica.engine.role is Role.LEADER
    assert world.take("timeout_now") == []
    assert reads[:90] == [2] * 90


def test_leadership_is_not_handed_to_a_full_disk() -> None:
    world = World()
    world.lead()
    world.deliver("n2", "ack", 1, append=1, next=3, **_TAKEN)
    world.deliver("n3", "ack", 1, append=1, next=3, **_TAKEN)
    world.sync()
    world.deliver("n2", "seen", 1, append=1, read=0, full=True)
    with pytest.raises(ReplicationError, match="n2 can not take leadership"):
        world.replica.transfer("n2", lambda _: None)
    assert world.replica.transfer(None, lambda _: None) == "n3"


def test_a_disk_with_room_again_may_lead() -> None:
    world = World()
    world.lead()
    world.deliver("n2", "ack", 1, append=1, next=3, **_TAKEN)
    world.sync()
    world.deliver("n2", "seen", 1, append=1, read=0, full=True)
    world.deliver("n3", "seen", 1, append=1, read=0, full=True)
    with pytest.raises(ReplicationError, match="no node can not take"):
        world.replica.transfer(None, lambda _: None)
    world.deliver("n2", "ack", 1, append=1, next=3, **_TAKEN)
    assert world.replica.transfer("n2", lambda _: None) == "n2"


def test_no_write_is_taken_that_no_majority_can_keep() -> None:
    """The leader has room; its callers are told instead of kept waiting."""
    world = World()
    world.lead()
    world.deliver("n2", "ack", 1, append=1, next=3, **_TAKEN)
    world.sync()
    world.deliver("n2", "seen", 1, append=1, read=0, full=True)
    world.replica.propose(b"one of two followers is enough")
    world.deliver("n3", "seen", 1, append=1, read=0, full=True)
    with pytest.raises(WriteBlockedError, match="DISK_FULL"):
        world.replica.propose(b"x")
    world.deliver("n3", "seen", 1, append=1, read=0, full=False)
    world.replica.propose(b"there is room again")
    world.replica.disconnected("n3")
    with pytest.raises(WriteBlockedError, match="DISK_FULL"):
        world.replica.propose(b"it can keep nothing while it is away")
    world.replica.connected("n3")
    world.replica.propose(b"it is back")


@pytest.mark.parametrize("full", [1, "yes", None])
def test_a_peer_says_it_in_a_word_or_is_not_heard(full: object) -> None:
    world = World()
    world.lead()
    with pytest.raises(ValueError, match="bad full"):
        world.deliver("n2", "seen", 1, append=1, read=0, full=full)


def elected_with_full_disks(own: bool, *full: str) -> World:
    """n1 has just been elected; its first entry is not committed."""
    world = World()
    world.lead()
    if own:
        world.replica.block_writes("DISK_FULL")
    for peer in full:
        world.deliver(peer, "seen", 1, append=1, read=0, full=True)
    assert world.replica.engine.commit_index < world.replica.engine.own_term_index
    return world


@pytest.mark.parametrize(
    ("own", "full", "refused"),
    [
        (True, ["n2"], True),
        (True, ["n3", "n2"], True),
        (False, ["n2", "n3"], True),
        (True, [], False),
        (False, ["n2"], False),
        (False, [], False),
    ],
)
def test_reads_do_not_wait_for_room_for_a_leaders_first_entry(
    own: bool, full: list[str], refused: bool
) -> None:
    world = elected_with_full_disks(own, *full)
    answers: list[int | None] = []
    if refused:
        with pytest.raises(WriteBlockedError, match="DISK_FULL"):
            world.replica.read(answers.append)
    else:
        world.replica.read(answers.append)
        world.tick(0.05)
    assert answers == []
    assert world.replica.leading.reads_wait_for_room is refused


def test_reads_that_wait_already_are_refused_as_soon_as_it_is_known() -> None:
    world = elected_with_full_disks(True)
    answers: list[int | None] = []
    world.replica.read(answers.append)
    world.replica.flush()
    assert answers == []
    world.deliver("n2", "seen", 1, append=1, read=0, full=False)
    assert answers == []
    world.deliver("n3", "seen", 1, append=1, read=0, full=True)
    assert answers == [None]
    assert world.replica.leading.reads_wait_for_room
    last = world.replica.journal.last_index
    for peer in ("n2", "n3"):
        answer = {"append": 1, "next": last + 1, "success": True, "reset": False, "read": 0}
        world.deliver(peer, "ack", 1, **answer)
    world.replica.block_writes(None)
    world.sync()
    assert not world.replica.leading.reads_wait_for_room
    world.replica.read(answers.append)


def test_a_leader_that_has_committed_reads_on_full_disks() -> None:
    world = elected_with_full_disks(False)
    last = world.replica.journal.last_index
    for peer in ("n2", "n3"):
        answer = {"append": 1, "next": last + 1, "success": True, "reset": False, "read": 0}
        world.deliver(peer, "ack", 1, **answer)
    world.sync()
    world.replica.block_writes("DISK_FULL")
    world.deliver("n2", "seen", 1, append=1, read=0, full=True)
    assert not world.replica.leading.reads_wait_for_room
    world.replica.read(lambda index: None)
