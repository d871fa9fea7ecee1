"""Who may take part in a cluster, and from when on it may vote. Pure.

A node whose data directory was lost has forgotten its votes and its acknowledgements. If it voted
at once, it could vote twice in a term, or elect a leader that lacks what it had confirmed; if it
only followed, it could confirm entries and reads to a leader whose successor it had voted for. So
a node with a new directory is silent at first, and asks all other members what they know, with a
nonce of this run (so that no answer is older than the loss). They answer from durable facts.

Founding. Nobody has any data: all are new. Each node then chooses, once and durably, the members
with the incarnations it saw as the founders. It may vote as soon as every other member has chosen
the same, or one that votes already has. A directory lost later has another incarnation, which is
among nobody's founders, and nobody chooses a second time: it can not pass for a founder.

Rejoining. All other voters have answered, and a majority of the cluster still votes; who they are
says the latest membership that any of them named. Every leader this
node can have voted for or acknowledged had its term stored by one of them, so all its promises are
of terms up to M, the highest answered. It raises its own term to M and follows: what it
acknowledges from now on, to leaders of M or later, contradicts no earlier vote. It may vote once
its log holds, durably, everything up to the commit index of such a leader, as told after that
leader answered, if that index is of the leader's own term: then it holds all that was ever
committed with its lost acknowledgements (Raft section 5.4.3). In that leader's term it counts as
having voted for it.

Joining. A node that has been added as a learner goes the same way, but answers of a majority of the
voters are enough for it to follow. No vote of its own counts while it is a learner; had it been
promoted, or been a voter in an earlier life, whatever it promised then would be known to a node of
any majority: the other voters who elected that leader, or the change that took it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coord.journal import Admission, Founders, Standing
from coord.replication.membership import Membership, same_ids
from coord.replication.peers.plausibility import MAX_AHEAD


@dataclass(frozen=True, slots=True)
class Facts:
    """What a member said of itself, durable when it said so. `virgin`: term 0, no vote, no log."""

    incarnation: int
    virgin: bool
    votes: bool
    term: int
    founders: Founders
    membership: Membership


@dataclass(frozen=True, slots=True)
class Choose:
    """Choose these founders."""

    founders: Founders


@dataclass(frozen=True, slots=True)
class Follow:
    """Raise the term to at least this one, then follow."""

    term: int


@dataclass(frozen=True, slots=True)
class BeginToVote:
    """This node is a founder, and never lost anything."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done yet; `why` is for people."""

    why: str


Decision = Choose | Follow | BeginToVote | Wait


def decide(
    self_id: str, own: Admission, virgin: bool, known: Membership, answers: Mapping[str, Facts]
) -> Decision:
    """What a node that does not vote yet does next. `answers`: by peer, to questions of this run;
    `virgin`, `known`: of this node."""
    founders = own.founders
    if founders and any(facts.votes and facts.founders == founders for facts in answers.values()):
        return BeginToVote()
    if unlikely := _differ_beyond_reason(answers):
        return Wait(unlikely)
    latest = _latest(known, answers)
    peers = [peer for peer in latest.voters if peer != self_id]
    missing = [peer for peer in peers if peer not in answers]
    if founders and not missing and all(answers[p].founders == founders for p in peers):
        return BeginToVote()
    if own.standing is Standing.FOLLOWS:
        return Wait("copying the log, to vote once it has all that is committed")
    own_entry = latest.find(self_id)
    if own_entry is None:
        return Wait(f"not a member; members are {', '.join(latest.ids)}: add it as one first")
    if own_entry.learner:
        return _join(peers, answers)
    if missing:
        return Wait(f"waiting for an answer from {', '.join(missing)}: {_reason(virgin)}")
    voters = sum(answers[peer].votes for peer in peers)
    if voters == 0:
        return _found(self_id, own, virgin, known, answers)
    quorum = len(latest.voters) // 2 + 1
    if voters < quorum:
        return Wait(
            f"only {voters} other nodes vote, {quorum} have to: the rest are being admitted as "
            "well, or a majority of the nodes has lost its data; in that case put back a data "
            "directory that was moved away"
        )
    return Follow(max(answers[peer].term for peer in peers))


def has_caught_up(told_commit: int, told_term: int | None, term: int, durable: int) -> bool:
    """Whether the log holds all that was committed: `told_commit` is the leader's commit index,
    `told_term` the term of that entry here, `term` the leader's; `durable` is up to where this log
    is on disk. An entry of the leader's own term means that all before it agrees as well."""
    return told_term == term and durable >= told_commit


def _differ_beyond_reason(answers: Mapping[str, Facts]) -> str:
    """What is wrong if one of the answers cannot be right: a node without data believes them."""
    for what, numbers in (
        ("terms", {peer: facts.term for peer, facts in answers.items()}),
        ("memberships", {peer: facts.membership.index for peer, facts in answers.items()}),
    ):
        if numbers and max(numbers.values()) - min(numbers.values()) > MAX_AHEAD:
            listed = ", ".join(f"{peer} {number}" for peer, number in sorted(numbers.items()))
            return f"the {what} of the others differ beyond reason, so one is wrong: {listed}"
    return ""


def _reason(virgin: bool) -> str:
    if virgin:
        return (
            "a node without data takes part only when all members have been reached (a new "
            "cluster needs all its members to be up once)"
        )
    return "this node has not been admitted yet, for which all members have to be reached"


def _latest(known: Membership, answers: Mapping[str, Facts]) -> Membership:
    """Of the same age, what a node says that votes."""
    told = [(facts.membership.index, facts.votes, peer) for peer, facts in answers.items()]
    if not told:
        return known
    index, votes, peer = max(told)
    if (index, votes) > (known.index, False):
        return answers[peer].membership
    return known


def _join(peers: Sequence[str], answers: Mapping[str, Facts]) -> Decision:
    voting = [peer for peer in peers if peer in answers and answers[peer].votes]
    quorum = len(peers) // 2 + 1
    if len(voting) < quorum:
        missing = ", ".join(peer for peer in peers if peer not in voting)
        return Wait(f"waiting for answers of {quorum} voters; none yet from {missing}")
    return Follow(max(answers[peer].term for peer in peers if peer in answers))


def _found(
    self_id: str, own: Admission, virgin: bool, known: Membership, answers: Mapping[str, Facts]
) -> Decision:
    """Nobody votes: either the cluster is being founded, or there is nobody left to found on."""
    peers = [peer for peer in known.voters if peer != self_id]
    lists = [known, *(answers[peer].membership for peer in peers if peer in answers)]
    if not same_ids(lists):
        shown = sorted({", ".join(one.ids) for one in lists})
        return Wait(f"the configurations of the nodes name different members: {'; '.join(shown)}")
    strangers = [peer for peer in peers if not answers[peer].virgin]
    if strangers or not virgin:
        return Wait(
            f"no node votes, and {', '.join(strangers or [self_id])} holds data: put back the data "
            "directories that were moved away"
        )
    seen = tuple(sorted({self_id: own.incarnation, **_incarnations(peers, answers)}.items()))
    if not own.founders and all(answers[peer].founders in ((), seen) for peer in peers):
        return Choose(seen)
    if seen == own.founders:
        return Wait("waiting for the other members to choose the same founders")
    return Wait(
        "a data directory was lost while the cluster was being founded; it has no data yet: stop "
        "all nodes, move all their data directories away, and start them again"
    )


def _incarnations(peers: Sequence[str], answers: Mapping[str, Facts]) -> dict[str, int]:
    return {peer: answers[peer].incarnation for peer in peers}
