"""One replica whose data directory is new: what it does not say, and when it begins to vote."""

from __future__ import annotations

from typing import Any

from chaos.sim.disk import SimDisk
from coord.journal import Admission, Standing
from coord.replication.boot import open_storage
from coord.replication.membership import encode_members
from coord.replication.port import Role
from coord.replication.replica_ports import Boot
from coord.replication.storage.writes import StoreAdmission, StoreBoot, StoreVote
from tests.support.replica_world import ReplicaWorld
from tests.support.replication import members_of

FOUNDERS = (("n1", 1), ("n2", 2), ("n3", 3))
NEW = Admission(1, Standing.SILENT)
ENTRY = b"\x00a"
MEMBERS = members_of("n1", "n2", "n3")


class World(ReplicaWorld):
    """Replica n1 of three, new; the test plays the others and the disk."""

    def __init__(self, admission: Admission = NEW, term: int = 0) -> None:
        super().__init__(term=term, members=MEMBERS, admission=admission)
        asked = [m["nonce"] for _, m in self.outbox if m["type"] == "introduce"]
        self.nonce = asked[0] if asked else 0

    def answer(self, peer: str, term: int = 0, **fields: Any) -> None:
        values: dict[str, Any] = {
            "nonce": self.nonce,
            "members_index": 0,
            "members": encode_members(MEMBERS),
            "incarnation": int(peer[1:]),
            "virgin": term == 0,
            "votes": term > 0,
            "founders": [],
        }
        self.deliver(peer, "introduction", term, **{**values, **fields})

    def copy(self, peer: str, term: int, *terms: int, prev: tuple[int, int], commit: int) -> None:
        """An append of entries of these terms."""
        entries = [[entry_term, ENTRY] for entry_term in terms]
        self.append(peer, term, *entries, prev=prev[0], prev_term=prev[1], commit=commit)

    def asked_for_vote(self, peer: str, term: int) -> bool:
        """Whether it votes for a candidate with a very long log, leader or not."""
        self.deliver(peer, "vote_request", term, last_index=99, last_term=term - 1, forced=True)
        self.sync()
        return bool(self.take("vote"))


def rejoining(term: int = 5) -> World:
    """Both others have answered with this term."""
    world = World()
    world.answer("n2", term)
    world.answer("n3", term)
    world.sync()
    world.outbox.clear()
    return world


def test_a_new_node_says_nothing_and_never_stands() -> None:
    world = World()
    world.outbox.clear()
    world.copy("n2", 3, 3, prev=(1, 0), commit=1)
    world.deliver("n3", "pre_vote", 3, wanted=4, last_index=9, last_term=3)
    world.deliver("n2", "timeout_now", 3)
    assert not world.asked_for_vote("n3", 4)
    for _ in range(50):
        world.tick(0.2)
    assert {m["type"] for _, m in world.outbox} == {"introduce"}
    assert (world.replica.engine.term, world.replica.role) == (0, Role.LEARNER)
    assert "n2, n3" in world.replica.admission.waits_for


def test_answers_to_another_run_do_not_count() -> None:
    world = World()
    world.answer("n2", 5)
    world.answer("n3", 5, nonce=world.nonce + 1)
    assert not world.replica.admission.follows


def test_founding_is_durable_before_it_is_told() -> None:
    world = World()
    for peer in ("n2", "n3"):
        world.deliver(peer, "introduce", 0, nonce=77)
    world.outbox.clear()
    world.answer("n2")
    world.answer("n3")
    assert world.take("introduction") == []
    world.sync()
    told = world.take("introduction")
    assert [(peer, m["founders"]) for peer, m in told] == [
        (peer, [list(f) for f in FOUNDERS]) for peer in ("n2", "n3")
    ]
    assert world.replica.role is Role.LEARNER
    world.answer("n2", founders=[list(f) for f in FOUNDERS])
    world.answer("n3", founders=[list(f) for f in FOUNDERS])
    assert world.replica.role is Role.FOLLOWER
    world.tick(0.2)
    assert [peer for peer, _ in world.take("pre_vote")] == ["n2", "n3"]


def test_a_founder_that_asks_late_is_vouched_for_by_one_in_a_later_term() -> None:
    world = World(Admission(1, Standing.SILENT, FOUNDERS))
    world.answer("n2", 1, founders=[["n1", 8], ["n2", 2], ["n3", 3]])
    assert world.replica.role is Role.LEARNER
    world.answer("n2", 1, founders=[list(f) for f in FOUNDERS])
    assert world.replica.role is Role.FOLLOWER
    assert world.asked_for_vote("n3", 1)


def test_a_vote_that_was_forgotten_is_not_given_again() -> None:
    """It voted for n2 in term 5, and lost its disk."""
    world = rejoining(5)
    assert world.replica.engine.term == 5
    for term in (5, 6, 7):
        assert not world.asked_for_vote("n3", term)
    world.copy("n2", 5, 5, prev=(1, 0), commit=2)
    world.sync()
    assert world.replica.role is Role.FOLLOWER
    assert StoreVote(5, "n2") in world.operations
    assert not world.asked_for_vote("n3", 5)
    assert world.asked_for_vote("n3", 6)


def test_an_acknowledgement_that_was_forgotten_elects_nobody_without_the_entry() -> None:
    """Leader n2 and this node held entry 3, n3 does not; this node lost its disk."""
    world = rejoining(5)
    assert not world.asked_for_vote("n3", 6)
    world.copy("n2", 5, 4, prev=(1, 0), commit=3)
    world.sync()
    assert not world.asked_for_vote("n3", 6)
    world.copy("n2", 5, 5, prev=(2, 4), commit=3)
    assert world.replica.role is Role.LEARNER  # not on disk
    world.sync()
    assert world.replica.role is Role.FOLLOWER
    world.deliver("n3", "vote_request", 6, last_index=2, last_term=4, forced=True)
    world.sync()
    assert world.take("vote") == []


def test_a_leader_that_has_committed_nothing_of_its_own_does_not_know_what_is_committed() -> None:
    world = rejoining(5)
    world.copy("n2", 5, 4, 4, prev=(1, 0), commit=3)
    world.copy("n2", 5, 5, prev=(3, 4), commit=3)
    world.sync()
    assert world.replica.role is Role.LEARNER
    world.copy("n2", 5, prev=(4, 5), commit=4)
    assert world.replica.role is Role.FOLLOWER


def test_leaders_before_the_answered_terms_are_refused() -> None:
    """What it confirmed to them would count against those it may have voted for since."""
    world = rejoining(5)
    world.copy("n2", 4, 4, prev=(1, 0), commit=2)
    assert {m["type"] for _, m in world.outbox} == {"stale"}
    assert world.replica.journal.last_index == 1


def test_restarted_while_it_follows_it_needs_no_more_answers() -> None:
    world = World(Admission(1, Standing.FOLLOWS), term=5)
    assert not world.asked_for_vote("n3", 6)
    world.copy("n2", 6, 6, prev=(1, 0), commit=2)
    world.sync()
    assert world.replica.role is Role.FOLLOWER
    assert world.operations[-1] == StoreAdmission(Admission(1, Standing.VOTES))


def test_restarted_before_it_follows_it_asks_again() -> None:
    world = World(term=5)
    world.answer("n2", 6)
    world.copy("n2", 6, 6, prev=(1, 0), commit=2)
    assert not world.replica.admission.follows
    world.answer("n3", 5)
    assert world.replica.admission.follows


def test_a_leader_forgets_what_a_node_confirmed_before_it_answers_it() -> None:
    world = World(Admission())
    world.tick(5.0)
    world.deliver("n2", "pre_vote_reply", 0, wanted=1, granted=True)
    world.sync()
    world.deliver("n2", "vote", 1)
    world.deliver("n2", "ack", 1, append=1, next=3, success=True, reset=False, read=0)
    engine = world.replica.engine
    assert (engine.role, engine.match_index("n2")) == (Role.LEADER, 2)
    world.deliver("n2", "introduce", 0, boot=2, nonce=7)
    assert engine.match_index("n2") == 0
    world.sync()
    (told,) = world.take("introduction")
    assert (told[0], told[1]["nonce"], told[1]["votes"], told[1]["term"]) == ("n2", 7, True, 1)


def test_leadership_is_not_offered_to_one_who_does_not_vote() -> None:
    world = World(Admission())
    world.tick(5.0)
    world.deliver("n2", "pre_vote_reply", 0, wanted=1, granted=True)
    world.sync()
    world.deliver("n2", "vote", 1)
    world.deliver("n2", "introduce", 0, nonce=7)
    assert world.replica.transfer(None, lambda _: None) == "n3"


def test_directories_from_before_admission_vote_and_new_ones_do_not() -> None:
    disk = SimDisk()

    def opened(incarnation: int) -> Boot:
        storage = open_storage("/d", "c", "n1", wall_ms=0, incarnation=incarnation, fs=disk)
        storage.close()
        return storage.boot

    assert opened(7).admission == Admission(7, Standing.SILENT)
    assert opened(8).admission == Admission(7, Standing.SILENT)
    world = World(Admission())
    assert world.replica.admission.votes
    world.tick(5.0)
    assert world.take("pre_vote") != []


def test_a_node_whose_runs_count_from_too_low_is_told_and_counts_on() -> None:
    """Its wall clock was put back when it lost its data."""
    world = World()
    world.deliver("n2", "behind", 0, known=50)
    assert StoreBoot(51) in world.operations
    world.outbox.clear()
    world.tick(0.2)
    asked = world.take("introduce")
    assert [m["boot"] for _, m in asked] == [51, 51]
    world.deliver("n3", "behind", 0, known=50)
    assert world.operations.count(StoreBoot(51)) == 1


def test_who_asks_with_an_earlier_run_than_known_is_told() -> None:
    world = World(Admission())
    world.deliver("n2", "introduce", 0, boot=9, nonce=1)
    world.outbox.clear()
    world.deliver("n2", "introduce", 0, boot=4, nonce=2)
    assert [(peer, m["known"]) for peer, m in world.take("behind")] == [("n2", 9)]
    world.deliver("n2", "pre_vote", 0, boot=4, wanted=1, last_index=1, last_term=0)
    assert world.outbox == []


def test_a_node_that_takes_part_does_not_change_how_its_runs_count() -> None:
    world = World(Admission())
    world.deliver("n2", "behind", 0, known=50)
    assert StoreBoot(51) not in world.operations
