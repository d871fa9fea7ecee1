"""One replica's part in elections: asking for support, standing, and answering those who do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coord.replication.election import log_is_current
from coord.replication.messages import Message
from coord.replication.port import Role
from coord.replication.replica_context import ReplicaContext

FULL_DISK_WAITS_S = 2.0


class Voting:
    """`handlers`: the messages it takes. The engine's own messages come in by `engine_asks` and
    `engine_votes`."""

    def __init__(self, context: ReplicaContext) -> None:
        self._context = context
        self._electorate = context.electorate
        self._engine = context.engine
        self._journal = context.journal
        self._outbox = context.outbox
        self._election = context.election
        self._now = context.now
        self._led_at = self._now()
        self._waits = False  # its disk is full, and the others have the first go
        self._forced = False
        self._voters: set[str] = set()  # who voted for this node in its present candidacy
        self._voted = False
        self.handlers: dict[str, Callable[[str, Message], None]] = {
            "vote_request": self._on_vote_request,
            "vote": self._on_vote,
            "pre_vote": self._on_pre_vote,
            "pre_vote_reply": self._on_pre_vote_reply,
            "timeout_now": self._on_timeout_now,
        }

    def tick(self) -> None:
        """Ask for support if no leader was heard for long enough. Who has a full disk leaves it to
        the others first: they can keep what comes."""
        now = self._now()
        if self._election.leader_is_fresh(now):
            self._led_at = now
        disk_is_full = self._context.write_block_reason is not None
        self._waits = disk_is_full and now < self._led_at + FULL_DISK_WAITS_S
        if self._may_ask() and self._election.expired(now):
            self._ask_for_support(now)

    def _may_ask(self) -> bool:
        leads = self._engine.role is Role.LEADER
        return self._electorate.votes and not leads and not self._waits

    def engine_asks(self, peer_id: str, message: dict[str, Any]) -> None:
        """The engine asks for a vote."""
        request = self._outbox.make(
            "vote_request",
            last_index=message["last_log_index"],
            last_term=message["last_log_term"],
            forced=self._forced,
        )
        self._outbox.promise_vote(peer_id, request)

    def engine_votes(self, peer_id: str) -> None:
        """The engine has voted for the peer."""
        self._voted = True
        self._outbox.promise_vote(peer_id, self._outbox.make("vote"))

    def _ask_for_support(self, now: float) -> None:
        wanted = self._engine.term + 1
        self._engine.forget_leader()
        self._election.begin_round(now, wanted)
        if self._electorate.quorum == 1:
            self._stand(now, forced=False)
            return
        journal = self._journal
        request = self._outbox.make(
            "pre_vote",
            wanted=wanted,
            last_index=journal.last_index,
            last_term=journal.last_term,
        )
        for peer_id in self._electorate.voting_peers:
            self._outbox.transmit(peer_id, dict(request))

    def _stand(self, now: float, *, forced: bool) -> None:
        self._election.begin_election(now)
        self._forced = forced
        self._voters.clear()
        try:
            self._engine.start_election()
        finally:
            self._forced = False

    def _on_pre_vote(self, peer_id: str, message: Message) -> None:
        now, wanted = self._now(), message["wanted"]
        own = (self._journal.last_term, self._journal.last_index)
        candidate = (message["last_term"], message["last_index"])
        granted = (
            self._engine.role is not Role.LEADER
            and not self._election.leader_is_fresh(now)
            and wanted > self._engine.term
            and log_is_current(candidate, own)
        )
        if granted and candidate == own and self._election.insists(wanted):
            granted = peer_id < self._electorate.self_id  # one of the two has to give way
        if granted and self._electorate.votes:
            self._election.supports(peer_id, wanted, now)
        reply = self._outbox.make("pre_vote_reply", wanted=wanted, granted=granted)
        self._outbox.transmit(peer_id, reply)
        if candidate < own and wanted == self._engine.term + 1:
            self._step_in(now, wanted)

    def _step_in(self, now: float, wanted: int) -> None:
        """A candidate that lacks what this node has can hardly win: ask in its place, instead of
        letting it try in vain."""
        fresh = self._election.leader_is_fresh(now)
        if self._may_ask() and not fresh and self._election.is_open(wanted):
            self._ask_for_support(now)

    def _on_pre_vote_reply(self, peer_id: str, message: Message) -> None:
        if message["term"] > self._engine.term:
            self._engine.observe_term(message["term"])
        elif message["granted"] and self._engine.role is not Role.LEADER:
            supporters = self._election.supported(peer_id, message["wanted"])
            enough = self._electorate.votes and self._electorate.is_majority(supporters)
            if enough and message["wanted"] == self._engine.term + 1:
                self._stand(self._now(), forced=False)

    def _on_vote_request(self, peer_id: str, message: Message) -> None:
        """Raft section 5.2; and a node that hears a leader does not take part (section 4.2.3 of
        the dissertation), unless that leader itself hands over."""
        now = self._now()
        if message["term"] < self._engine.term:
            self._outbox.transmit(peer_id, self._outbox.make("stale"))
            return
        follows = self._engine.role is Role.LEADER or self._election.leader_is_fresh(now)
        if follows and not message["forced"]:
            return
        self._voted = False
        self._engine.receive(
            peer_id,
            {
                "type": "request_vote",
                "term": message["term"],
                "last_log_index": message["last_index"],
                "last_log_term": message["last_term"],
            },
        )
        if self._voted:
            self._election.voted(now)

    def _on_vote(self, peer_id: str, message: Message) -> None:
        """Count a voter once a term, and nobody else."""
        if message["term"] > self._engine.term:
            self._engine.observe_term(message["term"])
        elif peer_id not in self._electorate.voting_peers:
            return
        elif message["term"] == self._engine.term and peer_id not in self._voters:
            self._voters.add(peer_id)
            self._engine.receive(peer_id, {"type": "response_vote", "term": message["term"]})
            self._engine.tick()

    def _on_timeout_now(self, peer_id: str, message: Message) -> None:
        """The leader hands over to this node: only the present one of the present term may."""
        current = message["term"] == self._engine.term and self._engine.leader_id == peer_id
        if current and self._electorate.votes and self._engine.role is Role.FOLLOWER:
            self._stand(self._now(), forced=True)
