"""What must hold in every simulated run, watched while it runs.

Checked here: at most one leader a term; one vote a node and term, across restarts; term and vote on
disk never go back, and are never behind what has left the node; what a node starts from is durable;
a leader has every committed entry
(leader completeness); logs that agree somewhere agree before it (log matching); the same entry at
the same index, with the same replies, on every node (committed prefix, state machine safety); equal
digests at equal applied indexes, and equal to a machine that just applied the log; what is
acknowledged is durable on a majority by then, and is never lost; committed memberships differ by
one member from the one before; cluster time never runs faster
than the fastest clock, so no lease is shortened; no fencing token is given out twice.

What clients saw is judged in `chaos.sim.promises`; that anything happens at all, by the run's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from chaos.sim.base_node import Entry, SimNode
from chaos.sim.plan import MAX_RATE
from chaos.sim.service import THE_PRODUCT, SimBuild
from coord.codec.envelope import Envelope, decode_envelope, to_batch
from coord.core.batch import Applied
from coord.core.locks.commands import LockReply
from coord.core.tasks.commands import Claimed
from coord.replication.port import Member

STAMP_SLACK_MS = 2.0
DIGEST_EVERY = 256  # entries


class Violation(AssertionError):  # noqa: N818 - a finding, not a failure of the simulator
    """A promise was broken; the text says which and where."""


class Invariants:
    """The record of one run."""

    def __init__(self, build: SimBuild = THE_PRODUCT) -> None:
        self._build = build
        self.leaders: dict[int, str] = {}  # term -> node
        self.votes: dict[tuple[str, int], str] = {}  # (node, term) -> candidate
        self.promised: dict[str, tuple[int, str]] = {}  # node -> latest (term, candidate) it told
        self.stored: dict[str, int] = {}  # node -> latest term seen on its disk
        self.applied: dict[int, tuple[int, bytes]] = {}  # index -> (term, command)
        self.committed_in: dict[int, int] = {}  # index -> term by which it was; rises with it
        self.results: dict[int, Applied] = {}
        self.digests: dict[int, str] = {}
        self.acknowledged: dict[int, tuple[int, bytes]] = {}
        self.memberships: dict[int, tuple[int, tuple[Member, ...]]] = {}  # index -> term, members
        self.highest_applied = 0
        self.machine = build.machine()  # has applied what `applied` has
        self._stamped: dict[bytes, float] = {}  # entry -> when it was first made
        self._slowest = float("inf")  # least of (stamp - fastest clock) so far
        self._tokens: dict[int, tuple[Any, ...]] = {}

    # Elections

    def leader(self, node: SimNode) -> None:
        """A node leads in a term."""
        known = self.leaders.setdefault(node.term, node.node_id)
        if known != node.node_id:
            raise Violation(f"two leaders in term {node.term}: {known} and {node.node_id}")
        self._complete(node)

    def _complete(self, node: SimNode) -> None:
        """A leader has what was committed in terms before its own. (One that was stalled may win
        an old term late, when later ones have long committed more: that harms nobody.)"""
        log = node.log()
        first, last, term = log[0][1], log[-1][1], node.term
        for index, committed_in in self.committed_in.items():
            if committed_in >= term:
                break
            if index > last:
                raise Violation(
                    f"{node.node_id} leads term {term} with a log up to {last}, entry {index} "
                    f"was committed in term {committed_in} at the latest"
                )
            committed = self.applied[index][0]
            if index >= first and committed != log[index - first][2]:
                raise Violation(
                    f"{node.node_id} leads term {term} with an entry {index} of term "
                    f"{log[index - first][2]}, the one of term {committed} was committed"
                )

    def votes_for(self, node_id: str, term: int, candidate: str) -> None:
        """A vote (or the candidacy of a node itself) has left the node."""
        known = self.votes.setdefault((node_id, term), candidate)
        if known != candidate:
            raise Violation(f"{node_id} voted twice in term {term}: {known} and {candidate}")
        if term >= self.promised.get(node_id, (0, ""))[0]:
            self.promised[node_id] = (term, candidate)

    def disk_vote(self, node: SimNode) -> None:
        """What a node's disk would say after a power cut, in this moment."""
        term, voted_for = node.stored_vote()
        if term < self.stored.get(node.node_id, 0):
            known = self.stored[node.node_id]
            raise Violation(f"the term on the disk of {node.node_id} fell from {known} to {term}")
        self.stored[node.node_id] = term
        told = self.promised.get(node.node_id)
        if told is None:
            return
        if term < told[0] or (term == told[0] and voted_for != told[1]):
            raise Violation(
                f"{node.node_id} has told of its vote for {told[1]} in term {told[0]}, and its "
                f"disk says {voted_for} in term {term}"
            )

    def disk_lost(self, node_id: str, latest: int) -> None:
        """What was on its disk is gone; what it has told still holds. But it may stand or vote
        again in a term after `latest`, the last that another node has stored: there it stood in
        vain, and nobody can make it lead any more."""
        self.stored.pop(node_id, None)
        self.promised.pop(node_id, None)
        for voter, term in [key for key in self.votes if key[0] == node_id and key[1] > latest]:
            if self.votes[voter, term] == node_id:
                del self.votes[voter, term]

    # Logs

    def recovered(self, node: SimNode, at_stake: list[str]) -> None:
        """What a node starts from counts as durable, so it has to be."""
        if at_stake:
            raise Violation(f"{node.node_id} starts from what is not durable: {at_stake}")

    def logs(self, nodes: list[SimNode]) -> None:
        """Every log is without a gap, and any two that agree somewhere agree before it."""
        held = [(node.node_id, node.log()) for node in nodes]
        for node_id, log in held:
            if log[-1][1] - log[0][1] + 1 != len(log):
                raise Violation(
                    f"the log of {node_id} has {len(log)} entries from {log[0][1]} to {log[-1][1]}"
                )
        for position, (one, ours) in enumerate(held):
            for other, theirs in held[position + 1 :]:
                where = _mismatch(ours, theirs)
                if where:
                    raise Violation(
                        f"the logs of {one} and {other} match behind {where}, not there"
                    )

    # Entries

    def stamped(self, data: bytes, now_s: float) -> None:
        """An entry was made."""
        self._stamped.setdefault(data, now_s)

    def apply(self, node: SimNode, index: int, term: int, data: bytes, applied: Applied) -> None:
        """A node has applied an entry, with this result."""
        known = self.applied.get(index)
        if known is None:
            self._first(node, index, term, data)
        elif known[1] != data:
            raise Violation(f"{node.node_id} applied another entry {index} than was committed")
        elif known[0] != term:
            raise Violation(f"{node.node_id} applied entry {index} of term {term}, not {known[0]}")
        expected = self.results[index]
        if expected.replies != applied.replies or expected.events != applied.events:
            raise Violation(f"{node.node_id} answered entry {index} differently")
        if index % DIGEST_EVERY == 0:
            self.state(node, index)

    def _first(self, node: SimNode, index: int, term: int, data: bytes) -> None:
        if index < self.highest_applied:
            raise Violation(f"{node.node_id} applied entry {index}, which was passed over before")
        self.applied[index] = (term, data)
        self.highest_applied = index
        known = next(reversed(self.committed_in.values()), 0)
        self.committed_in[index] = max(known, node.term)
        self.results[index] = applied = self.machine.apply(
            to_batch(data, decode_command=self._build.decode)
        )
        self._time(data)
        for token, holder in _granted(decode_envelope(data), applied):
            if self._tokens.setdefault(token, holder) != holder:
                raise Violation(f"entry {index} gives out token {token} again, to {holder}")

    def _time(self, data: bytes) -> None:
        """Between two entries no more cluster time passes than on the fastest clock."""
        made_s = self._stamped.get(data)
        if made_s is None:
            raise Violation("an entry was applied that nobody proposed")
        behind = self.machine.now_ms - made_s * 1000 * MAX_RATE
        if behind > self._slowest + STAMP_SLACK_MS:
            raise Violation(
                f"cluster time ran {behind - self._slowest:.1f} ms ahead of every clock: leases "
                "were shortened"
            )
        self._slowest = min(self._slowest, behind)

    def state(self, node: SimNode, index: int) -> None:
        """A node's state after `index`: no two may differ."""
        if index not in self.digests and index == self.highest_applied:
            self.digests[index] = self.machine.digest()
        digest = node.digest()
        if self.digests.setdefault(index, digest) != digest:
            raise Violation(f"{node.node_id} has another state after entry {index}")

    def acknowledge(self, index: int, term: int, nodes: list[SimNode]) -> None:
        """Somebody is told that this entry is committed: it must be durable on a majority (a node
        that is down may have it)."""
        lacking = [n.node_id for n in nodes if n.alive and not n.holds(index, term)]
        if len(lacking) > (len(nodes) - 1) // 2:
            raise Violation(f"entry {index} is acknowledged and not durable on {lacking}")
        self.acknowledged[index] = (term, self.applied[index][1])

    # Members

    def reconfigured(
        self, node: SimNode, index: int, term: int, members: tuple[Member, ...]
    ) -> None:
        """A node has applied a change of the members."""
        known = self.memberships.setdefault(index, (term, members))
        if known != (term, members):
            raise Violation(f"{node.node_id} has other members after entry {index}")
        places = sorted(self.memberships)
        place = places.index(index)
        for one, other in pairwise(places[max(0, place - 1) : place + 2]):
            before, after = self.memberships[one][1], self.memberships[other][1]
            if len(set(before) ^ set(after)) > (1 if len(before) != len(after) else 2):
                raise Violation(f"the members of entries {one} and {other} differ by more than one")

    def changes(self, node: SimNode) -> None:
        """A leader begins no change while another is not committed."""
        if node.leads() and node.uncommitted_changes() > 1:
            raise Violation(f"{node.node_id} has overlapping changes of the members under way")

    def removed(self, node_id: str) -> bool:
        """Whether it was removed at some time."""
        listed = [
            any(member.node_id == node_id for member in members)
            for _, (_, members) in sorted(self.memberships.items())
        ]
        return not all(listed)

    # The end

    def finish(self, node: SimNode) -> None:
        """A node that has caught up has all that was acknowledged, and its state is that of a
        machine that applied it all."""
        for index, entry in self.acknowledged.items():
            if self.applied.get(index) != entry:
                raise Violation(f"the acknowledged entry {index} was lost")
        if node.applied_index < max(self.acknowledged, default=0):
            raise Violation(f"{node.node_id} stands at {node.applied_index}, acknowledged is more")
        applied = max((i for i in self.applied if i <= node.applied_index), default=0)
        if applied == self.highest_applied and node.digest() != self.machine.digest():
            raise Violation(f"{node.node_id} ends with another state than the log gives")


def _mismatch(ours: list[Entry], theirs: list[Entry]) -> int:
    """The last index at which both have entries that differ though later ones match; 0: none.
    The first entry of a log stands for a snapshot: its command has no meaning."""
    start = max(ours[0][1], theirs[0][1])
    end = min(ours[-1][1], theirs[-1][1])
    if end < start:
        return 0
    a = ours[start - ours[0][1] : end + 1 - ours[0][1]]
    b = theirs[start - theirs[0][1] : end + 1 - theirs[0][1]]
    if a[1:] == b[1:]:
        return start if a[0][2] != b[0][2] and len(a) > 1 else 0
    matching = False
    for one, other in zip(reversed(a), reversed(b), strict=True):
        if one[2] == other[2]:
            matching = True
            if one[0] != other[0] and one[1] != start:
                return one[1]
        elif matching:
            return one[1]
    return 0


def _granted(envelope: Envelope, applied: Applied) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Fencing tokens in the replies of an entry, with whom and what each was given out for."""
    for item, reply in zip(envelope.items, applied.replies, strict=True):
        match reply:
            case Claimed(tasks):
                for task_id, token, _, _ in tasks:
                    yield token, ("task", task_id, item.session_id, item.sequence)
            case LockReply(True, token):
                yield token, ("lock", item.session_id)
