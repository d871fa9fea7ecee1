"""A replica's part in changes of the membership: making them when it leads, counting by them as its
log has them, and telling others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from coord.replication.admission_protocol import AdmissionProtocol
from coord.replication.entry_kinds import MEMBERS
from coord.replication.errors import RemovedFromClusterError
from coord.replication.known_peers import KnownPeers
from coord.replication.membership import (
    Membership,
    changed,
    decode_members,
    encode_members,
    refuse,
)
from coord.replication.messages import Message
from coord.replication.port import (
    AddLearner,
    MembershipChange,
    MembershipRefusal,
    Promote,
    Remove,
)
from coord.replication.replica_context import ReplicaContext

MAX_FAREWELL_BYTES: Final = 3_072
MAX_LAG_ENTRIES: Final = 256  # a learner that lacks no more than this may be promoted
MAX_LAG_BYTES: Final = 8 * 1024 * 1024


class Reconfiguration:
    """`handlers`: the messages it takes."""

    def __init__(
        self, context: ReplicaContext, known: KnownPeers, admission: AdmissionProtocol
    ) -> None:
        self._context = context
        self._self_id = context.self_id
        self._electorate = context.electorate
        self._engine = context.engine
        self._journal = context.journal
        self._outbox = context.outbox
        self._known = known
        self._admission = admission
        self._removed_by: Membership | None = None
        self.handlers: dict[str, Callable[[str, Message], None]] = {"members": self._on_members}

    # Following the log

    @property
    def is_adopted(self) -> bool:
        """Whether `adopt` has nothing to do."""
        latest = self._journal.memberships.latest
        return latest is self._electorate.membership and self._removed_by is None

    def adopt(self) -> bool:
        """Count by what the log says now; True if that is something else than before. Raises
        RemovedFromClusterError if this node is no member any more."""
        self._check_removed()
        latest, electorate = self._journal.memberships.latest, self._electorate
        if latest is electorate.membership:
            return False
        electorate.adopt(latest)
        self._engine.set_others(electorate.voting_peers, electorate.learners)
        for peer_id in sorted(self._known.addresses):
            self.tell(peer_id)
        self._known.update()
        return True

    def committed(self, index: int, term: int) -> None:
        """The membership entry at `index`, of `term`, is committed."""
        memberships = self._journal.memberships
        present, before = memberships.at(index), memberships.at(index - 1)
        if self._engine.term == term and self._engine.leader_id == self._self_id:
            for member in before.members:
                if present.find(member.node_id) is None:
                    self._known.removed(member)
                    self.tell(member.node_id)
        self._known.update()

    def tell(self, peer_id: str) -> None:
        """Let a peer know the membership, if it is another than the one in the configuration.
        That it is committed is for a leader to say, who knows of none that is later."""
        if self._electorate.membership.index > 0:
            self._outbox.transmit(peer_id, self._outbox.make("members", **self._fields()))

    def _fields(self) -> Message:
        """Of a `members` message."""
        present, engine = self._electorate.membership, self._engine
        leads = engine.leader_id == self._self_id and engine.commit_index >= engine.own_term_index
        return {
            "index": present.index,
            "members": encode_members(present.members),
            "committed": leads and present.index <= engine.commit_index,
        }

    def farewell(self) -> Message | None:
        """What a node gets that wants to connect and is not known; see `refused`. None if that
        would be more than fits into a refusal."""
        fields = self._fields()
        return fields if len(fields["members"]) <= MAX_FAREWELL_BYTES else None

    def refused(self, peer_id: str, fields: Message) -> None:
        """A peer does not know this node, and says who the members are: it was removed while it was
        down, or will hear of one who leads and knows that for sure."""
        self._on_members(peer_id, fields)

    def _on_members(self, peer_id: str, message: Message) -> None:
        """A node that was removed learns it here: nobody sends it the log any more. (Entries of its
        own log may be older than that it was added again.)"""
        told = Membership(message["index"], decode_members(message["members"]))
        if told.index <= self._electorate.membership.index:
            return
        if (
            message["committed"]
            and self._context.admission.votes
            and told.find(self._self_id) is None
        ):
            self._removed_by = told
        self._known.hear(told)

    def _check_removed(self) -> None:
        if self._removed_by is not None:
            raise RemovedFromClusterError(
                f"{self._self_id} was removed from the cluster, whose members are "
                f"{', '.join(self._removed_by.ids)}; to let it take part again, move its data "
                "directory away and add it as a new member"
            )

    # Leading

    def change(self, change: MembershipChange) -> tuple[int, int]:
        """Append the change to the log; index and term of the entry. Leader only, whose writes are
        not blocked. Raises MembershipRefusedError."""
        engine, present = self._engine, self._electorate.membership
        if engine.commit_index < engine.own_term_index or not engine.own_term_index:
            refuse(
                MembershipRefusal.LEADER_NOT_READY,
                "this leader has not committed an entry of its own term yet; try again",
            )
        if present.index > engine.commit_index:
            refuse(
                MembershipRefusal.CHANGE_IN_PROGRESS,
                "another change of the members is not committed yet; try again",
            )
        if change == Remove(self._self_id) and len(present.voters) > 1:
            refuse(
                MembershipRefusal.LEADER_LEAVES,
                f"{self._self_id} leads; leadership has to be handed over first",
            )
        members = changed(present, change)
        if isinstance(change, Promote):
            self._check_promotion(change.node_id)
        if not isinstance(change, AddLearner):
            self._check_majority(Membership(present.index, members))
        return engine.propose(encode_members(members), MEMBERS)

    def _check_promotion(self, node_id: str) -> None:
        connected, levels = self._context.connected, self._context.levels
        journal, match = self._journal, self._engine.match_index(node_id)
        lag = journal.last_index - match
        if node_id in levels.behind():
            refuse(
                MembershipRefusal.LEARNER_BEHIND,
                f"the build of {node_id} supports no feature level from {levels.required} "
                f"on, at which the cluster is: upgrade {node_id} first",
            )
        behind = lag > MAX_LAG_ENTRIES or journal.bytes_after(match) > MAX_LAG_BYTES
        if node_id not in connected or node_id in self._admission.applicants() or behind:
            refuse(
                MembershipRefusal.LEARNER_BEHIND,
                f"{node_id} is not up to date: it has the log up to {match} of "
                f"{journal.last_index}{'' if node_id in connected else ' and is not connected'}",
            )

    def _check_majority(self, after: Membership) -> None:
        """Refuse a change that leaves no majority in reach: it would never be committed, and
        nothing else either."""
        context = self._context
        since = context.now() - context.settings.election.max_s
        heard_at = context.account.current().heard_at
        here = {peer for peer in context.connected if heard_at.get(peer, since - 1) >= since}
        here.add(self._self_id)
        missing = [voter for voter in after.voters if voter not in here]
        if len(after.voters) - len(missing) < len(after.voters) // 2 + 1:
            refuse(
                MembershipRefusal.QUORUM_AT_RISK,
                f"with this change {len(after.voters) // 2 + 1} of {', '.join(after.voters)} would "
                f"have to be up, and {', '.join(missing)} can not be reached now",
            )
