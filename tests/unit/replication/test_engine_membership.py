"""One replica and changes of its membership: who is counted, what is refused, what is undone."""

from __future__ import annotations

import pytest

from coord.replication.entry_kinds import MEMBERS
from coord.replication.errors import RemovedFromClusterError
from coord.replication.membership import encode_members
from coord.replication.port import (
    AddLearner,
    MembershipRefusal,
    MembershipRefusedError,
    NotLeaderError,
    Promote,
    Remove,
    Role,
    WriteBlockedError,
)
from tests.support.replica_world import ReplicaWorld
from tests.support.replication import members_of

(N4,) = members_of("n4")
(N5,) = members_of("n5")
WITH_N4 = members_of("n1", "n2", "n3", learners=["n4"])


def acknowledge(world: ReplicaWorld, peer: str, next_index: int, term: int = 1) -> None:
    """All appends sent so far, up to before `next_index`."""
    number = world.replica.account.current().flow(peer).last_sent
    answer = {"append": number, "next": next_index, "success": True, "reset": False, "read": 0}
    world.deliver(peer, "ack", term, **answer)


def leading(size: int = 3, *, settled: bool = True) -> ReplicaWorld:
    """n1 leads term 1; `settled`: its first entry, 2, is committed."""
    world = ReplicaWorld(size)
    world.lead()
    world.sync()
    if settled:
        acknowledge(world, "n2", 3)
        if size > 3:
            acknowledge(world, "n3", 3)
        assert world.replica.engine.commit_index == 2
    world.outbox.clear()
    return world


def refused(world: ReplicaWorld, change: AddLearner | Promote | Remove) -> MembershipRefusal:
    with pytest.raises(MembershipRefusedError) as error:
        world.replica.change_members(change)
    return error.value.reason


def commit(world: ReplicaWorld, *peers: str) -> None:
    """What is in the log, by these peers."""
    world.replica.flush()
    world.sync()
    for peer in peers:
        acknowledge(world, peer, world.replica.journal.last_index + 1)


def test_a_change_counts_from_the_moment_it_is_in_the_log() -> None:
    world = leading()
    index, term = world.replica.change_members(AddLearner(N4))
    assert (index, term) == (3, 1)
    assert world.replica.electorate.peers == ("n2", "n3", "n4")
    assert world.replica.electorate.quorum == 2
    assert set(world.known) == {"n2", "n3", "n4"}
    assert world.results == []
    commit(world, "n2")
    assert world.results == [(3, WITH_N4)]


def test_only_a_leader_changes_members() -> None:
    world = ReplicaWorld()
    with pytest.raises(NotLeaderError):
        world.replica.change_members(AddLearner(N4))


def test_no_change_while_writes_are_blocked() -> None:
    world = leading()
    world.replica.block_writes("DISK_FULL")
    with pytest.raises(WriteBlockedError):
        world.replica.change_members(AddLearner(N4))


def test_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    """Without this rule two leaders could commit by majorities that share nobody."""
    world = leading(settled=False)
    assert refused(world, AddLearner(N4)) is MembershipRefusal.LEADER_NOT_READY
    acknowledge(world, "n2", 3)
    world.replica.change_members(AddLearner(N4))


def test_a7_no_change_while_the_last_one_is_not_committed() -> None:
    world = leading()
    world.replica.change_members(AddLearner(N4))
    assert refused(world, AddLearner(N5)) is MembershipRefusal.CHANGE_IN_PROGRESS
    assert refused(world, Remove("n2")) is MembershipRefusal.CHANGE_IN_PROGRESS
    commit(world, "n2")
    world.replica.change_members(AddLearner(N5))
    assert world.replica.electorate.peers == ("n2", "n3", "n4", "n5")


def test_a_learner_is_sent_the_log_and_not_counted() -> None:
    world = leading()
    world.replica.change_members(AddLearner(N4))
    commit(world, "n2")
    world.replica.connected("n4")
    world.outbox.clear()
    index, _ = world.replica.propose(b"a")
    world.replica.flush()
    world.sync()
    assert "n4" in [peer for peer, _ in world.take("append")]
    acknowledge(world, "n4", index + 1)
    assert world.replica.engine.commit_index == index - 1
    acknowledge(world, "n3", index + 1)
    assert world.replica.engine.commit_index == index


def test_a_learner_confirms_no_read() -> None:
    world = leading()
    world.replica.change_members(AddLearner(N4))
    commit(world, "n2")
    answers: list[int | None] = []
    world.replica.read(answers.append)
    world.replica.flush()
    world.deliver("n4", "seen", 1, append=1, read=world.replica.leading.reads.number)
    assert answers == []
    world.deliver("n3", "seen", 1, append=1, read=world.replica.leading.reads.number)
    assert answers == [3]


def test_a_promoted_node_is_counted_at_once() -> None:
    world = leading()
    world.replica.change_members(AddLearner(N4))
    commit(world, "n2")
    world.replica.connected("n4")
    assert refused(world, Promote("n4")) is MembershipRefusal.QUORUM_AT_RISK  # with two of four
    acknowledge(world, "n4", 4)
    acknowledge(world, "n3", 4)
    index, _ = world.replica.change_members(Promote("n4"))
    assert world.replica.electorate.quorum == 3
    commit(world, "n2")
    assert world.replica.engine.commit_index == index - 1, "two of four are no majority"
    acknowledge(world, "n4", index + 1)
    assert world.replica.engine.commit_index == index


def test_a_learner_that_is_behind_away_or_not_admitted_is_not_promoted() -> None:
    world = leading()
    world.replica.change_members(AddLearner(N4))
    commit(world, "n2")
    assert refused(world, Promote("n4")) is MembershipRefusal.LEARNER_BEHIND  # not connected
    world.replica.connected("n4")
    world.deliver("n4", "introduce", 0, nonce=1)
    acknowledge(world, "n4", 4)
    assert refused(world, Promote("n4")) is MembershipRefusal.LEARNER_BEHIND  # asks to be let in
    world.time += 2
    acknowledge(world, "n2", 4)
    acknowledge(world, "n4", 4)
    for _ in range(300):
        world.replica.propose(b"x")
    assert refused(world, Promote("n4")) is MembershipRefusal.LEARNER_BEHIND


def test_a_learner_whose_build_is_behind_is_not_promoted() -> None:
    world = leading()
    world.replica.change_members(AddLearner(N4))
    commit(world, "n2", "n3")
    world.replica.connected("n4")
    acknowledge(world, "n4", 4)
    world.replica.context.levels.heard("n4", 0)
    world.replica.context.levels.require(1)
    with pytest.raises(MembershipRefusedError, match="upgrade n4 first") as error:
        world.replica.change_members(Promote("n4"))
    assert error.value.reason is MembershipRefusal.LEARNER_BEHIND
    world.replica.context.levels.heard("n4", 1)
    world.replica.change_members(Promote("n4"))


def test_a_removal_that_leaves_no_majority_in_reach_is_refused() -> None:
    world = leading()
    world.replica.disconnected("n3")
    acknowledge(world, "n2", 3)
    assert refused(world, Remove("n2")) is MembershipRefusal.QUORUM_AT_RISK
    index, _ = world.replica.change_members(Remove("n3"))  # the one that is away may go
    assert world.replica.electorate.quorum == 2
    commit(world, "n2")
    assert world.replica.engine.commit_index == index


def test_a_leader_does_not_take_itself_out() -> None:
    world = leading()
    assert refused(world, Remove("n1")) is MembershipRefusal.LEADER_LEAVES


def test_who_is_removed_is_told_once_it_is_committed_and_then_forgotten() -> None:
    world = leading()
    acknowledge(world, "n2", 3)
    acknowledge(world, "n3", 3)
    world.replica.change_members(Remove("n3"))
    assert "n3" not in [peer for peer, m in world.outbox if m.get("committed")]
    assert world.known == {}, "the connections stay as they are"
    commit(world, "n2")
    told = [m for peer, m in world.take("members") if peer == "n3"]
    assert told[-1]["committed"]
    world.time += 10
    world.replica.tick()
    assert set(world.known) == {"n2"}


def test_a_node_that_is_told_of_its_removal_stops() -> None:
    world = ReplicaWorld()
    without = encode_members(members_of("n2", "n3"))
    world.deliver("n2", "members", 0, index=9, members=without, committed=False)
    with pytest.raises(RemovedFromClusterError, match="n2, n3"):
        world.deliver("n2", "members", 0, index=9, members=without, committed=True)


def test_a_node_that_was_removed_while_it_was_down_learns_it_when_it_is_refused() -> None:
    leader = leading()
    acknowledge(leader, "n2", 3)
    acknowledge(leader, "n3", 3)
    leader.replica.change_members(Remove("n3"))
    before = leader.replica.reconfiguration.farewell()
    assert before is not None
    assert not before["committed"]
    commit(leader, "n2")
    farewell = leader.replica.reconfiguration.farewell()
    away = ReplicaWorld()
    assert farewell is not None
    for committed in (False, True):
        words = farewell | {
            "members": encode_members(members_of("n2", "n3")),
            "committed": committed,
        }
        away.replica.refused("n2", words)
        if not committed:
            away.tick(0.1)
    with pytest.raises(RemovedFromClusterError, match="n2, n3"):
        away.tick(0.1)


@pytest.mark.parametrize("fields", [7, [], {}, {"index": 9, "members": b"?", "committed": True}])
def test_a_malformed_word_of_its_removal_is_ignored(fields: object) -> None:
    world = ReplicaWorld()
    world.replica.refused("n2", fields)
    world.tick(0.1)


def test_a_membership_too_large_for_a_refusal_is_left_out() -> None:
    many = members_of("n1", *(f"{number:02}{'x' * 200}" for number in range(16)))
    assert ReplicaWorld(members=many).replica.reconfiguration.farewell() is None


def test_an_older_word_of_its_removal_is_ignored() -> None:
    """It was removed, and added again: its log says so."""
    world = ReplicaWorld()
    entry = MEMBERS + encode_members(members_of("n1", "n2", "n3"))
    world.append("n2", 1, [1, b"\x01"], [1, entry])
    without = encode_members(members_of("n2", "n3"))
    world.deliver("n3", "members", 1, index=3, members=without, committed=True)
    assert world.replica.electorate.membership.index == 3


def test_votes_of_others_than_voters_do_not_count() -> None:
    world = ReplicaWorld(members=WITH_N4)
    world.tick(5.0)
    assert [peer for peer, _ in world.take("pre_vote")] == ["n2", "n3"]
    world.deliver("n4", "pre_vote_reply", 0, wanted=1, granted=True)
    assert world.replica.engine.term == 0
    world.deliver("n2", "pre_vote_reply", 0, wanted=1, granted=True)
    world.sync()
    assert [peer for peer, _ in world.take("vote_request")] == ["n2", "n3"]
    world.deliver("n4", "vote", 1)
    assert world.replica.engine.role is Role.CANDIDATE
    world.deliver("n3", "vote", 1)
    assert world.replica.engine.role is Role.LEADER


def test_a_learner_follows_votes_and_never_stands() -> None:
    world = ReplicaWorld(members=members_of("n2", "n3", "n4", learners=["n1"]))
    assert world.replica.role is Role.LEARNER
    for _ in range(50):
        world.tick(1.0)
    assert world.take("pre_vote") == []
    world.append("n2", 1, [1, b"\x01"])
    world.sync()
    assert world.take("ack")
    world.time += 5
    world.deliver("n3", "vote_request", 2, last_index=9, last_term=1, forced=False)
    world.sync()
    assert world.take("vote"), "its vote may be needed where it is known to have been promoted"


def test_a_change_that_is_cut_off_is_undone() -> None:
    world = ReplicaWorld()
    entry = MEMBERS + encode_members(WITH_N4)
    world.append("n2", 1, [1, b"\x01"], [1, entry])
    assert world.replica.electorate.membership.members == WITH_N4
    assert set(world.known) == {"n2", "n3", "n4"}
    world.append("n3", 2, [2, b"\x01"], prev=1)
    assert world.replica.electorate.membership.index == 0
    assert world.replica.electorate.peers == ("n2", "n3")
    world.tick()
    assert set(world.known) == {"n2", "n3"}


def test_a_node_that_was_away_talks_to_those_it_is_told_of() -> None:
    world = ReplicaWorld()
    now = encode_members(members_of("n1", "n5", "n6"))
    world.deliver("n2", "members", 0, index=40, members=now, committed=True)
    assert set(world.known) == {"n2", "n3", "n5", "n6"}
    assert world.replica.electorate.peers == ("n2", "n3"), "nobody is counted for it"
    world.append("n5", 3, [3, b"\x01"])
    assert world.replica.engine.leader_id == "n5"


def test_a_leader_ignores_answers_of_those_who_are_no_members() -> None:
    world = leading()
    now = encode_members(members_of("n1", "n2", "n3", "n9"))
    world.deliver("n9", "ack", 1, append=1, next=3, success=True, reset=False, read=0)
    world.deliver("n2", "members", 1, index=40, members=now, committed=False)
    world.deliver("n9", "ack", 1, append=1, next=3, success=True, reset=False, read=0)
    assert world.replica.engine.match_index("n9") == 0


def test_leadership_goes_to_no_learner() -> None:
    world = leading()
    world.replica.change_members(AddLearner(N4))
    commit(world, "n2")
    world.replica.connected("n4")
    with pytest.raises(Exception, match="n4 can not take"):
        world.replica.transfer("n4", lambda _: None)
