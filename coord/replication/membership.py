"""Who is in the cluster: rules of the membership and of its changes. Pure.

A membership is an entry of the log with the whole list of members. It counts from the moment the
entry is in a log, committed or not, and counts no more when the entry is cut off (Raft dissertation
section 4.1). Two memberships of which one follows the other differ by one voter at the most, so any
majority of the one shares a node with any majority of the other; that holds because a leader begins
no change while the last one is uncommitted, and none before an entry of its own term is committed.

A new node begins as a learner: it copies the log and counts for nothing. Promotion makes it a voter
once it has caught up. Whoever is not in the membership of its own log never stands for election;
votes, acknowledgements and confirmations of reads count only if they come from voters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import msgpack

from coord.replication.errors import InvariantError
from coord.replication.port import (
    AddLearner,
    Member,
    MembershipChange,
    MembershipRefusal,
    MembershipRefusedError,
    Promote,
    Remove,
)

MAX_MEMBERS = 9
MAX_VOTERS = 7
_MAX_TEXT = 512
MAX_ENCODED_BYTES = 64 * 1024  # of a list of members; more than 9 of the longest take


@dataclass(frozen=True, slots=True)
class Membership:
    """The members, in the order of their ids, as of the log entry at `index`; 0: those that the
    cluster began with, which are in the configuration of its nodes and not in the log."""

    index: int
    members: tuple[Member, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(member.node_id for member in self.members)

    @property
    def voters(self) -> tuple[str, ...]:
        return tuple(member.node_id for member in self.members if not member.learner)

    def find(self, node_id: str) -> Member | None:
        """The member of that id."""
        return next((member for member in self.members if member.node_id == node_id), None)


def membership(index: int, members: Iterable[Member]) -> Membership:
    """With the members in order."""
    return Membership(index, tuple(sorted(members, key=lambda member: member.node_id)))


def encode_members(members: Iterable[Member]) -> bytes:
    """As entries, snapshots and messages carry them."""
    rows = [[m.node_id, m.peer_address, m.client_address, m.learner] for m in members]
    data: bytes = msgpack.packb(rows)
    return data


def decode_members(data: bytes) -> tuple[Member, ...]:
    """Raises ValueError for what is not a list of members with at least one voter."""
    if len(data) > MAX_ENCODED_BYTES:
        raise ValueError(f"{len(data)} bytes are no list of members")
    try:
        rows = msgpack.unpackb(data, max_array_len=MAX_MEMBERS, max_map_len=0, max_ext_len=0)
    except Exception as error:
        raise ValueError(f"not a list of members: {error!r:.80}") from error
    if type(rows) is not list or not 1 <= len(rows) <= MAX_MEMBERS:
        raise ValueError(f"not 1 to {MAX_MEMBERS} members")
    if not all(map(_is_row, rows)):
        raise ValueError("a member is malformed")
    members = tuple(Member(*row) for row in rows)
    ids = [member.node_id for member in members]
    if ids != sorted(set(ids)) or all(member.learner for member in members):
        raise ValueError(f"members out of order, twice, or without a voter: {ids}")
    return members


def _is_row(row: object) -> bool:
    if type(row) is not list or len(row) != 4 or type(row[3]) is not bool:
        return False
    return all(type(text) is str and len(text) <= _MAX_TEXT for text in row[:3]) and row[0] != ""


def changed(present: Membership, change: MembershipChange) -> tuple[Member, ...]:
    """The members after a change. Raises MembershipRefusedError."""
    match change:
        case AddLearner(member):
            return _with(present, replace(member, learner=True))
        case Promote(node_id):
            return _promoted(present, node_id)
        case Remove(node_id):
            return _without(present, node_id)


def _with(present: Membership, new: Member) -> tuple[Member, ...]:
    if present.find(new.node_id) is not None:
        refuse(MembershipRefusal.MEMBER_EXISTS, f"{new.node_id} is a member already")
    if len(present.members) >= MAX_MEMBERS:
        refuse(MembershipRefusal.TOO_MANY_MEMBERS, f"{MAX_MEMBERS} members are the most there are")
    taken = {a for m in present.members for a in (m.peer_address, m.client_address)}
    if taken & {new.peer_address, new.client_address} or new.peer_address == new.client_address:
        refuse(MembershipRefusal.ADDRESS_IN_USE, "a member has one of these addresses already")
    return membership(0, (*present.members, new)).members


def _promoted(present: Membership, node_id: str) -> tuple[Member, ...]:
    if not _known(present, node_id).learner:
        refuse(MembershipRefusal.ALREADY_VOTER, f"{node_id} votes already")
    if len(present.voters) >= MAX_VOTERS:
        refuse(MembershipRefusal.TOO_MANY_MEMBERS, f"{MAX_VOTERS} voters are the most there are")
    return tuple(replace(m, learner=False) if m.node_id == node_id else m for m in present.members)


def _without(present: Membership, node_id: str) -> tuple[Member, ...]:
    if present.voters == (_known(present, node_id).node_id,):
        refuse(MembershipRefusal.LAST_VOTER, f"{node_id} is the only voter")
    return tuple(member for member in present.members if member.node_id != node_id)


def _known(present: Membership, node_id: str) -> Member:
    member = present.find(node_id)
    if member is None:
        refuse(
            MembershipRefusal.UNKNOWN_MEMBER,
            f"{node_id} is not a member; members are {', '.join(present.ids)}",
        )
    return member


def refuse(reason: MembershipRefusal, text: str) -> NoReturn:
    """Raises MembershipRefusedError."""
    raise MembershipRefusedError(reason, text)


class MembershipHistory:
    """The memberships in a log, oldest first; the first is what held before the log's entries."""

    def __init__(self, first: Membership) -> None:
        self._list = [first]

    @property
    def latest(self) -> Membership:
        return self._list[-1]

    def at(self, index: int) -> Membership:
        """The one that holds for a state that has applied the log up to `index`."""
        return next((one for one in reversed(self._list) if one.index <= index), self._list[0])

    def append(self, new: Membership) -> None:
        if new.index <= self.latest.index:
            raise InvariantError(f"membership {new.index} follows {self.latest.index}")
        self._list.append(new)

    def cut_from(self, index: int) -> None:
        """The log was cut off from `index` on."""
        while len(self._list) > 1 and self.latest.index >= index:
            self._list.pop()

    def forget_before(self, index: int) -> None:
        """Nothing before `index` will be asked for."""
        while len(self._list) > 1 and self._list[1].index <= index:
            del self._list[0]

    def reset(self, first: Membership) -> None:
        """The log was replaced."""
        self._list = [first]


class Electorate:
    """The membership as one member sees it. Changes with its log: whoever counts, asks here."""

    def __init__(self, self_id: str, first: Membership) -> None:
        self.self_id = self_id
        self.adopt(first)

    def adopt(self, new: Membership) -> None:
        """Count by this one from now on."""
        self.membership = new
        self.peers: tuple[str, ...] = tuple(i for i in new.ids if i != self.self_id)
        self.voting_peers: tuple[str, ...] = tuple(i for i in new.voters if i != self.self_id)
        self.learners: tuple[str, ...] = tuple(i for i in self.peers if i not in new.voters)
        self.votes = self.self_id in new.voters  # whether this node may stand for election
        self.quorum = len(new.voters) // 2 + 1

    def is_majority(self, supporters: Collection[str]) -> bool:
        """Whether these nodes, and this one, are a majority of the voters."""
        return self.votes + sum(peer in supporters for peer in self.voting_peers) >= self.quorum


def same_ids(lists: Sequence[Membership]) -> bool:
    """Whether they have the same members, wherever those are."""
    return len({one.ids for one in lists}) <= 1
