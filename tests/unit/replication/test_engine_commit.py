"""The engine at its seams: a leader counts itself only when synced, nothing starts by itself."""

from __future__ import annotations

from typing import Any

import pytest

from coord.replication.engine_journal import EngineJournal
from coord.replication.errors import ApplyFailedError
from coord.replication.membership import Electorate, membership
from coord.replication.port import Role
from coord.replication.pysyncobj_engine import EngineSettings, HardenedEngine
from coord.replication.storage.writes import WriteOp
from tests.support.replica_world import ReplicaWorld as World
from tests.support.replication import members_of


class Owner:
    """An engine's port that remembers what it was asked."""

    def __init__(self) -> None:
        self.time = 0.0
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.applied: list[tuple[int, int, bytes]] = []
        self.room = True
        self.wanting: list[str] = []
        self.written: list[WriteOp] = []

    def now(self) -> float:
        return self.time

    def engine_send(self, peer_id: str, message: dict[str, Any]) -> bool:
        self.sent.append((peer_id, message))
        return True

    def engine_apply(self, index: int, term: int, data: bytes) -> None:
        if data == b"bad":
            raise ApplyFailedError("as it was told to")
        self.applied.append((index, term, data))

    def engine_members(self, index: int) -> None: ...

    def may_send_to(self, peer_id: str) -> bool:
        return self.room

    def needs_snapshot(self, peer_id: str) -> None:
        self.wanting.append(peer_id)

    def appends(self) -> list[tuple[str, list[int]]]:
        return [
            (peer, [entry[1] for entry in message["entries"]])
            for peer, message in self.sent
            if message.get("entries")
        ]


def make(*peers: str) -> tuple[HardenedEngine, EngineJournal, Owner]:
    owner = Owner()
    first = membership(0, members_of("n1", *peers))
    journal = EngineJournal([], 0, None, 1, lambda _, op: owner.written.append(op), first)
    engine = HardenedEngine(
        Electorate("n1", first), journal, owner, EngineSettings(batch_bytes=250)
    )
    for peer in peers:
        engine.connected(peer)
    return engine, journal, owner


def lead(*peers: str) -> tuple[HardenedEngine, EngineJournal, Owner]:
    engine, journal, owner = make(*peers)
    engine.start_election()
    for peer in peers:
        engine.receive(peer, {"type": "response_vote", "term": 1})
    assert engine.role is Role.LEADER
    owner.sent.clear()
    return engine, journal, owner


def test_no_election_starts_by_itself() -> None:
    engine, _, owner = make("n2", "n3")
    for _ in range(100):
        owner.time += 10.0
        engine.tick()
    assert engine.role is Role.FOLLOWER
    assert owner.sent == []


@pytest.mark.parametrize("peers", [(), ("n2", "n3"), ("n2", "n3", "n4", "n5")])
def test_a_leader_commits_only_what_it_has_synced_itself(peers: tuple[str, ...]) -> None:
    engine, journal, owner = lead(*peers)
    index, term = engine.propose(b"x")
    for peer in peers:
        engine.receive_ack(peer, index + 1, success=True, reset=False)
    engine.tick()
    assert engine.commit_index == 1
    assert owner.applied == []
    journal.mark_synced(journal.write_sequence)
    engine.tick()
    assert engine.commit_index == index
    assert owner.applied == [(index, term, b"x")]


def test_its_own_copy_alone_commits_nothing() -> None:
    engine, journal, _ = lead("n2", "n3")
    engine.propose(b"x")
    journal.mark_synced(journal.write_sequence)
    engine.tick()
    assert engine.commit_index == 1


def test_an_acknowledgement_does_not_send_again_what_is_in_flight() -> None:
    engine, journal, owner = lead("n2", "n3")
    for _ in range(4):
        engine.propose(b"x" * 100)
    engine.send_now(["n2"])
    assert owner.appends() == [("n2", [3, 4]), ("n2", [5, 6])]
    engine.receive_ack("n2", 4, success=True, reset=False)
    owner.sent.clear()
    engine.send_now(["n2"])
    assert owner.appends() == []
    assert engine.next_index("n2") == journal.last_index + 1


def test_a_peer_without_room_gets_nothing_and_loses_nothing() -> None:
    engine, _, owner = lead("n2", "n3")
    engine.propose(b"x" * 100)
    owner.room = False
    engine.send_now()
    assert owner.sent == []
    owner.room = True
    engine.send_now(["n2"])
    assert owner.appends() == [("n2", [3])]


def test_a_peer_whose_entries_are_gone_is_reported_once_a_round() -> None:
    engine, journal, owner = lead("n2", "n3")
    for _ in range(5):
        engine.propose(b"x")
    journal.drop_before(5)
    engine.receive_ack("n2", 2, success=False, reset=True)
    engine.send_now(["n2"])
    assert owner.wanting == ["n2"]
    assert len(owner.sent) == 1


def test_a_failing_apply_is_neither_skipped_nor_repeated_silently() -> None:
    engine, journal, owner = lead()
    engine.propose(b"good")
    bad, _ = engine.propose(b"bad")
    journal.mark_synced(journal.write_sequence)
    with pytest.raises(ApplyFailedError):
        engine.tick()
    assert engine.applied_index == bad - 1
    assert [data for _, _, data in owner.applied] == [b"good"]


def test_a_later_term_ends_leadership() -> None:
    engine, journal, _ = lead("n2", "n3")
    engine.observe_term(7)
    assert (engine.role, engine.term, engine.leader_id) == (Role.FOLLOWER, 7, None)
    assert journal.getCurrentTerm() == 7


def test_a_leader_that_nobody_answers_steps_down() -> None:
    engine, _, owner = lead("n2", "n3")
    owner.time = 0.9
    engine.note_alive("n2")
    owner.time = 1.5
    engine.tick()
    assert engine.role is Role.LEADER
    owner.time = 2.0
    engine.tick()
    assert engine.role is Role.FOLLOWER


def test_several_engines_keep_their_own_time() -> None:
    first, _, owner = lead("n2", "n3")
    second, _, other = lead("n2", "n3")
    other.time = 1_000.0
    second.tick()
    first.tick()
    assert first.role is Role.LEADER
    owner.time = 1.5
    first.tick()
    assert first.role is Role.FOLLOWER


def test_a_long_backlog_is_applied_in_slices() -> None:
    """Also where few entries hold much: between slices the owner answers others."""
    engine, journal, owner = lead()
    for _ in range(10):
        engine.propose(b"x" * 10_000)
    journal.mark_synced(journal.write_sequence)
    applied = []
    while engine.applied_index < journal.last_index:
        engine.tick()
        applied.append(engine.applied_index)
    assert applied == [5, 8, 11, 12]
    assert len(owner.applied) == 10


@pytest.mark.parametrize("peers", [(), ("n2",), ("n2", "n3"), ("n2", "n3", "n4", "n5")])
def test_commit_commits_what_a_tick_would(peers: tuple[str, ...]) -> None:
    for order in range(len(peers) + 1):
        ways = []
        for act in (HardenedEngine.commit, HardenedEngine.tick):
            engine, journal, _ = lead(*peers)
            index, _ = engine.propose(b"x")
            indexes = []
            for step, who in enumerate([*peers[:order], "", *peers[order:]]):
                if who:
                    engine.receive_ack(who, index + 1, success=True, reset=False)
                else:
                    journal.mark_synced(journal.write_sequence)
                act(engine)
                indexes.append((step, engine.commit_index, engine.applied_index))
            assert indexes[-1][1:] == (index, index)
            ways.append(indexes)
        assert ways[0] == ways[1]


def test_a_leader_that_gives_up_does_not_commit_what_it_has_not_synced() -> None:
    """The library computes the commit index and steps down in the same tick."""
    world = World()
    world.lead()
    world.deliver("n2", "ack", 1, append=1, next=3, success=True, reset=False, read=0)
    world.sync()
    world.replica.propose(b"only n2 has it durably")
    world.replica.flush()
    world.deliver("n2", "ack", 1, append=2, next=4, success=True, reset=False, read=0)
    world.tick(5.0)
    assert world.replica.engine.role is Role.FOLLOWER
    assert world.replica.engine.commit_index == 2
    assert world.replica.engine.applied_index == 2
