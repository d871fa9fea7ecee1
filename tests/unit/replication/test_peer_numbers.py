"""Numbers beyond reason in peers' messages: refused in every field, stored in none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.journal import Admission, Standing
from coord.replication import messages
from coord.replication.admission import Facts, Follow, Wait, decide
from coord.replication.membership import encode_members, membership
from coord.replication.messages import FIELDS, MAX_INDEX, InvalidMessageError, Message
from coord.replication.peers import plausibility
from coord.replication.peers.plausibility import (
    COUNT_FLOOR,
    EARLIEST_WALL_MS,
    LARGEST_SIZE,
    LATEST_CLOCK_MS,
    MAX_AHEAD,
    NUMBERS,
    STAMP,
    ImplausibleNumberError,
    Kind,
    latest_run,
)
from coord.replication.port import Role
from coord.replication.storage.writes import StoreBoot, StoreVote
from tests.support.ballots import IDLE, Ballot
from tests.support.replica_world import ReplicaWorld
from tests.support.replication import members_of

TERM = 5
SAMPLES: dict[str, Message] = {
    "append": {
        "prev_index": 1,
        "prev_term": 0,
        "entries": [[TERM, b"\x00x"]],
        "commit": 1,
        "append": 1,
        "read": 0,
    },
    "ack": {"append": 1, "next": 2, "success": True, "reset": False, "read": 0, "mark": 1},
    "seen": {"append": 1, "read": 0, "mark": 1},
    "vote_request": {"last_index": 1, "last_term": 0, "forced": False},
    "vote": {},
    "pre_vote": {"last_index": 1, "last_term": 0, "wanted": TERM},
    "pre_vote_reply": {"wanted": TERM, "granted": True},
    "stale": {},
    "timeout_now": {},
    "check": {"index": 1},
    "digest": {"index": 1, "scheme": "s", "digest": "d"},
    "snapshot": {
        "index": 2,
        "snapshot_term": 1,
        "prev_index": 1,
        "prev_term": 0,
        "members": b"",
        "created_wall_ms": 1,
        "format": 1,
        "size": 10,
        "offset": 0,
        "data": b"",
    },
    "snapshot_ack": {"index": 2, "snapshot_term": 1, "offset": 0, "done": False},
    "members": {"index": 2, "members": encode_members(members_of("n2", "n3")), "committed": True},
    "behind": {"known": 7},
    "introduce": {"nonce": 1},
    "introduction": {
        "nonce": 1,
        "incarnation": 1,
        "virgin": False,
        "votes": True,
        "founders": [],
        "members_index": 0,
        "members": encode_members(members_of("n1", "n2", "n3")),
    },
}
FIELD_KINDS = [
    (kind, name, number)
    for kind in SAMPLES
    for name, number in (*STAMP.items(), *NUMBERS[kind].items())
    if number is not Kind.RANDOM
]


def sample(kind: str, nth: int = 1, **change: Any) -> Message:
    return {"type": kind, "term": TERM, "boot": 1, "number": nth, **SAMPLES[kind], **change}


def limit_of(kind: Kind) -> int:
    """In a world whose node is in term 5, has a log up to 1, and a wall clock that shows 0."""
    return {
        Kind.TERM: TERM + MAX_AHEAD,
        Kind.INDEX: 1 + MAX_AHEAD,
        Kind.RUN: EARLIEST_WALL_MS + MAX_AHEAD,
        Kind.COUNT: COUNT_FLOOR + MAX_AHEAD,
        Kind.CLOCK: LATEST_CLOCK_MS,
        Kind.SIZE: LARGEST_SIZE,
    }[kind]


def test_every_number_of_every_message_is_measured() -> None:
    assert set(SAMPLES) == set(FIELDS) == set(NUMBERS)
    for kind, fields in FIELDS.items():
        known = {name for name, check in fields.items() if check is messages._is_number}
        known |= {
            name
            for name, check in messages._OPTIONAL.get(kind, {}).items()
            if check is messages._is_number
        }
        assert set(NUMBERS[kind]) == known, kind
        messages.check_message(sample(kind))
    assert set(STAMP) == set(messages._STAMP)


@pytest.mark.parametrize("beyond", ["by one", "by far"])
@pytest.mark.parametrize(("kind", "name", "number"), FIELD_KINDS)
@pytest.mark.parametrize("role", ["follower", "leader"])
def test_a_number_beyond_reason_has_no_effect(
    role: str, kind: str, name: str, number: Kind, beyond: str
) -> None:
    world = ReplicaWorld(term=TERM)
    if role == "leader":
        world.tick(5.0)
        world.deliver("n2", "pre_vote_reply", TERM, wanted=TERM + 1, granted=True)
        world.sync()
        world.deliver("n2", "vote", TERM + 1)
        assert world.replica.engine.role is Role.LEADER
    limit = limit_of(number)
    if role == "leader":  # in the next term, with one entry more
        limit += number in (Kind.TERM, Kind.INDEX)
    value = limit + 1 if beyond == "by one" else MAX_INDEX
    before = (world.replica.engine.term, len(world.operations), world.replica.journal.last_index)
    world.outbox.clear()
    with pytest.raises(InvalidMessageError) as refused:
        world.replica.receive("n2", sample(kind, 100, **{name: value}))
    if not (kind == "append" and name == "prev_term"):  # later than its own leader
        assert isinstance(refused.value, ImplausibleNumberError)
        assert str(value) in str(refused.value)
    after = (world.replica.engine.term, len(world.operations), world.replica.journal.last_index)
    assert after == before
    assert world.outbox == []
    assert world.replica._stamps.last_of("n2") < (1, 100), "the real message can still come"


@pytest.mark.parametrize(("kind", "name", "number"), FIELD_KINDS)
def test_the_last_number_within_reason_is_taken(kind: str, name: str, number: Kind) -> None:
    world = ReplicaWorld(term=TERM)
    change = {name: limit_of(number)}
    if (kind, name) == ("append", "prev_term"):
        change["entries"] = []
        change["term"] = change[name]
    message = sample(kind, 100, **change)
    world.replica._plausibility.check("n2", messages.check_message(message))


def test_a_run_beyond_reason_does_not_mute_the_real_one() -> None:
    world = ReplicaWorld(term=TERM)
    with pytest.raises(ImplausibleNumberError, match="boot"):
        world.replica.receive("n2", sample("stale", boot=MAX_INDEX, term=TERM + 1))
    world.replica.receive("n2", sample("stale", boot=2, term=TERM + 1))
    assert world.replica.engine.term == TERM + 1


def test_runs_count_from_the_latest_of_what_is_known() -> None:
    assert latest_run(0) == EARLIEST_WALL_MS + MAX_AHEAD
    assert latest_run(EARLIEST_WALL_MS + 9, 7) == EARLIEST_WALL_MS + 9 + MAX_AHEAD
    assert latest_run(1, 2, EARLIEST_WALL_MS + 100) == EARLIEST_WALL_MS + 100 + MAX_AHEAD


def test_a_node_that_was_behind_does_not_count_its_runs_from_beyond_reason() -> None:
    silent = Admission(1, Standing.SILENT)
    world = ReplicaWorld(admission=silent)
    with pytest.raises(ImplausibleNumberError, match="known"):
        world.replica.receive("n2", sample("behind", known=MAX_INDEX - 1))
    assert not any(isinstance(operation, StoreBoot) for operation in world.operations)
    world.replica.receive("n2", sample("behind", known=EARLIEST_WALL_MS))
    assert StoreBoot(EARLIEST_WALL_MS + 1) in world.operations


def test_a_voucher_for_what_is_beyond_reason_is_refused() -> None:
    world = ReplicaWorld(term=TERM)
    with pytest.raises(ImplausibleNumberError, match="fresh"):
        world.replica.receive("n2", sample("append", fresh=[1, 1, MAX_INDEX]))
    world.replica.receive("n2", sample("append", fresh=[1, MAX_INDEX, 1]))
    assert world.replica.age_ms() is None, "a mark that this node has not made yet"


def test_who_says_it_was_removed_by_an_entry_beyond_reason_is_not_believed() -> None:
    world = ReplicaWorld(term=TERM)
    fields = {**SAMPLES["members"], "index": MAX_INDEX}
    world.replica.refused("n2", fields)
    assert world.replica.known_peers._told is None


def facts(term: int, index: int = 0) -> Facts:
    return Facts(1, False, True, term, (), membership(index, members_of("n1", "n2", "n3")))


def test_a_new_node_takes_a_term_only_from_answers_that_agree() -> None:
    own = Admission(1, Standing.SILENT)
    known = membership(0, members_of("n1", "n2", "n3"))
    far = 2**40  # a cluster may have come there; a new node has nothing to measure it by
    assert decide("n1", own, True, known, {"n2": facts(far), "n3": facts(far - 1)}) == Follow(far)
    for answers in (
        {"n2": facts(2**62), "n3": facts(5)},
        {"n2": facts(5, 2**62), "n3": facts(5, 9)},
    ):
        decision = decide("n1", own, True, known, answers)
        assert isinstance(decision, Wait)
        assert "beyond reason" in decision.why
        assert "n2" in decision.why


def test_a_new_node_hears_the_answers_of_a_cluster_in_a_late_term() -> None:
    world = ReplicaWorld(admission=Admission(1, Standing.SILENT))
    world.tick(1.0)
    nonce = world.take("introduce")[0][1]["nonce"]
    late = 2**40
    for peer in ("n2", "n3"):
        world.replica.receive(peer, sample("introduction", nonce=nonce, term=late))
    assert world.replica.engine.term == late
    assert StoreVote(late, None) in world.operations
    world.sync()
    with pytest.raises(ImplausibleNumberError, match="term"):
        world.replica.receive("n2", sample("append", 2, term=late + MAX_AHEAD + 1))


BEYOND = st.integers(2**46, MAX_INDEX)


class Lies:
    """Delivers, before some messages of a cluster, copies with numbers beyond reason in them."""

    def __init__(self, ballot: Ballot, data: st.DataObject) -> None:
        self._ballot = ballot
        self._data = data
        self.told = 0
        self._real = ballot.send
        ballot.send = self._send  # type: ignore[method-assign]

    def _send(self, sender: str, peer: str, message: Message) -> None:
        if self.told < 60 and self._data.draw(st.integers(0, 3)) == 0:
            self.told += 1
            fields = (*STAMP.items(), *NUMBERS[message["type"]].items())
            names = [name for name, kind in fields if kind is not Kind.RANDOM and name in message]
            lie = dict(message)
            for name in self._data.draw(st.sets(st.sampled_from(names), min_size=1)):
                lie[name] = self._data.draw(BEYOND)
            node = self._ballot.nodes[peer]
            if node.alive and self._ballot.nodes[sender].alive:
                with pytest.raises(InvalidMessageError):
                    node.replica.receive(sender, lie)
        self._real(sender, peer, message)


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 1000))
def test_no_lie_about_a_number_stops_a_cluster(data: st.DataObject, seed: int) -> None:
    ballot = Ballot(3, IDLE, seed)
    Lies(ballot, data)
    assert ballot.run(10.0, lambda: ballot.leader() is not None), "somebody leads"
    ballot.run(0.5)
    leader = ballot.leader()
    assert leader is not None
    index, _ = leader.replica.propose(b"x")
    leader.replica.flush()
    assert ballot.run(5.0, lambda: leader.replica.engine.commit_index >= index), "it commits"
    ballot.kill(leader.node_id)
    assert ballot.run(10.0, lambda: ballot.leader() is not None), "another one leads"
    for node in ballot.nodes.values():
        assert node.replica.engine.term < 100
        assert all(run == 1 for run, _ in node.replica._stamps._last.values())
        assert node.replica.electorate.membership.index == 0
        assert node.replica.known_peers._told is None


def test_the_bound_is_the_documented_one() -> None:
    assert plausibility.MAX_AHEAD == 2**32
