"""A replica's way into its cluster: asking the others, answering those who ask, and carrying out
what `admission` decides. A replica that votes only answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from coord.journal import Admission, Standing
from coord.replication.admission import (
    BeginToVote,
    Choose,
    Facts,
    Follow,
    Wait,
    decide,
    has_caught_up,
)
from coord.replication.known_peers import KnownPeers
from coord.replication.membership import Membership, decode_members, encode_members
from coord.replication.messages import Message
from coord.replication.port import Role
from coord.replication.replica_context import ReplicaContext

ASK_AGAIN_S = 0.1
FORGET_APPLICANT_S = 1.0


class AdmissionProtocol:
    """`handlers`: the messages it takes. `nonce`: of the questions of this run."""

    def __init__(self, context: ReplicaContext, known: KnownPeers, nonce: int) -> None:
        self._context = context
        self._own = context.admission
        self._electorate = context.electorate
        self._engine = context.engine
        self._journal = context.journal
        self._outbox = context.outbox
        self._election = context.election
        self._account = context.account
        self._now = context.now
        self._known = known
        self._nonce = nonce
        self._answers: dict[str, Facts] = {}
        self._asked_at = -ASK_AGAIN_S
        self._told = (0, 0)  # term and commit index of the leader's appends
        self._applicants: dict[str, tuple[int, float]] = {}  # nonce, and when it came
        self.handlers: dict[str, Callable[[str, Message], None]] = {
            "introduce": self._on_introduce,
            "introduction": self._on_introduction,
            "behind": self._on_behind,
        }

    def applicants(self) -> set[str]:
        """Return the peers that do not vote, as far as they said so lately."""
        since = self._now() - FORGET_APPLICANT_S
        return {peer for peer, (_, asked_at) in self._applicants.items() if asked_at >= since}

    def tick(self) -> None:
        """Ask again if it is time, and see whether something can be done."""
        if self._own.votes:
            return
        now = self._now()
        if now - self._asked_at >= ASK_AGAIN_S:
            self._asked_at = now
            for peer_id in sorted(self._context.connected):
                self.ask(peer_id)
        self.advance()

    def ask(self, peer_id: str) -> None:
        """Ask a peer, unless this node votes."""
        if not self._own.votes:
            self._outbox.transmit(peer_id, self._outbox.make("introduce", nonce=self._nonce))

    def heard_append(self, term: int, commit_index: int) -> None:
        """The leader that is followed told its commit index."""
        if not self._own.votes:
            told_term, told = self._told
            self._told = (term, max(told, commit_index) if term == told_term else commit_index)
            self.advance()

    def advance(self) -> None:
        """Do what can be done by now."""
        while not self._own.votes and self._step():
            continue

    def _step(self) -> bool:
        """One decision carried out; False when there is nothing to do but wait."""
        own, virgin = self._own.stored, self._is_virgin()
        known = self._electorate.membership
        match decide(self._electorate.self_id, own, virgin, known, self._answers):
            case Wait(why):
                self._own.waits_for = why
                return own.standing is Standing.FOLLOWS and self._finish_rejoining()
            case Choose(founders):
                self._set(replace(own, founders=founders))
            case Follow(term):
                self._engine.observe_term(term)
                self._set(replace(own, standing=Standing.FOLLOWS))
            case BeginToVote():
                self._begin_to_vote(own)
        return True

    def _finish_rejoining(self) -> bool:
        engine, journal = self._engine, self._journal
        term, told = self._told
        if engine.leader_id is None or term != engine.term:
            return False
        if not has_caught_up(told, journal.term_at(told), term, journal.synced_index):
            return False
        engine.vote_for_leader()
        self._begin_to_vote(replace(self._own.stored, founders=()))
        return True

    def _begin_to_vote(self, admission: Admission) -> None:
        self._own.waits_for = ""
        self._answers.clear()
        for peer_id in self._electorate.peers:  # all are to know, also those that have never asked
            self._applicants.setdefault(peer_id, (0, -math.inf))
        self._set(replace(admission, standing=Standing.VOTES))
        self._election.may_stand(self._now())

    def _set(self, admission: Admission) -> None:
        """Note it durably; those who have asked are told when it is."""
        self._own.note(admission)
        self._journal.store_admission(admission)
        for peer_id, (nonce, _) in sorted(self._applicants.items()):
            self._answer(peer_id, nonce)

    def _is_virgin(self) -> bool:
        journal = self._journal
        fresh = journal.getCurrentTerm() == 0 and journal.getVotedForNodeId() is None
        return fresh and journal.last_index <= 1

    def _answer(self, peer_id: str, nonce: int) -> None:
        """From durable facts: it waits until all that was written before is durable."""
        own = self._own.stored
        answer = self._outbox.make(
            "introduction",
            nonce=nonce,
            incarnation=own.incarnation,
            virgin=self._is_virgin(),
            votes=self._own.votes,
            founders=[list(founder) for founder in own.founders],
            members_index=self._electorate.membership.index,
            members=encode_members(self._electorate.membership.members),
        )
        self._outbox.promise(peer_id, answer)

    def _on_introduce(self, peer_id: str, message: Message) -> None:
        """What the peer had confirmed before it lost its data is forgotten before it is answered:
        it relies on that."""
        if self._engine.role is Role.LEADER:
            self._account.note_run(peer_id, message["boot"])
        self._applicants[peer_id] = (message["nonce"], self._now())
        self._answer(peer_id, message["nonce"])

    def _on_behind(self, peer_id: str, message: Message) -> None:
        """What an earlier life of this node said is not to pass for later than what it says now."""
        if not self._own.follows and message["known"] >= self._outbox.boot_id:
            self._outbox.boot_id = message["known"] + 1
            self._journal.store_boot(self._outbox.boot_id)

    def _on_introduction(self, peer_id: str, message: Message) -> None:
        if message["votes"]:
            self._applicants.pop(peer_id, None)
        if self._own.votes or message["nonce"] != self._nonce:
            return
        membership = Membership(message["members_index"], decode_members(message["members"]))
        founders = tuple((node_id, number) for node_id, number in message["founders"])
        self._answers[peer_id] = Facts(
            message["incarnation"],
            message["virgin"],
            message["votes"],
            message["term"],
            founders,
            membership,
        )
        self._known.hear(membership)
        self.advance()
