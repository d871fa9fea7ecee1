"""Whether the states of all members are the same: digests exchanged at equal applied indexes.

Theory of operation. From time to time the leader names the last index of its log (`check`). Because
connections keep the order of messages, nobody has applied anything behind that index when the name
arrives, so every node can freeze its state exactly there. The digest of the frozen state is made a
slice at a time beside the running node, and sent to all other members (`digest`). Each member
compares for itself. One whose state is not that of a majority stops itself: nothing that it says
can be relied on, and the majority goes on without it. If no digest has a majority nobody can know
who is right; that is reported, and comparing goes on.

The work is bounded. After a digest a node names the next index only after REST times as long as it
took, so the larger the state, the rarer the check; one view is open at a time; a few digests are
kept of each member. A node that is busy, away or behind leaves a round out. Digests of different
schemes (made by different versions of the program) are not compared. No clock of another node
matters, and no I/O is done here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from coord.replication.background import IDLE, UNHURRIED
from coord.replication.errors import DivergenceError
from coord.replication.membership import Electorate
from coord.replication.messages import Message
from coord.replication.outbox import Outbox
from coord.replication.port import DigestGivenUpError, DigestSource

REST = 3  # times as long as a digest took; it is made in a 25th of the time at most
KEEP = 4  # digests kept of each member, those of the highest indexes


class StateVerdict(Enum):
    """What the digests of one index say to one node."""

    OPEN = "open"  # nobody differs so far, and it is not a majority yet
    AGREES = "agrees"
    DIVERGED = "diverged"  # a majority has another state
    SPLIT = "split"  # there are differences, and no majority so far


def judge(self_id: str, voters: Collection[str], digests: Mapping[str, str]) -> StateVerdict:
    """Compare this node's digest with those of the voting members known for the same index."""
    own = digests.get(self_id)
    if own is None:
        return StateVerdict.OPEN
    majority = majority_digest(voters, digests)
    if majority is not None:
        return StateVerdict.AGREES if own == majority else StateVerdict.DIVERGED
    return StateVerdict.OPEN if set(digests.values()) == {own} else StateVerdict.SPLIT


def majority_digest(voters: Collection[str], digests: Mapping[str, str]) -> str | None:
    """The digest that more than half of the voting members share, if there is one."""
    counted = Counter(digests[voter] for voter in voters if voter in digests)
    for found, count in counted.most_common(1):
        if count * 2 > len(voters):
            return found
    return None


@dataclass(frozen=True, slots=True)
class _Work:
    index: int
    source: DigestSource
    began_at: float


class StateCheck:
    """One node's part. `problem` says what is wrong without being this node's fault; empty: all
    is well. Raises DivergenceError where this node has to stop.

    `interval_s` 0: never. `checked_index`: the last index at which a majority, this node included,
    was seen to have the same state."""

    def __init__(
        self,
        electorate: Electorate,
        interval_s: float,
        begin: Callable[[], DigestSource],
        outbox: Outbox,
        now: Callable[[], float],
    ) -> None:
        self._electorate = electorate
        self._self_id = electorate.self_id
        self._interval_s = interval_s
        self._begin_digest = begin
        self._outbox = outbox
        self._now = now
        self._due_at = now() + interval_s
        self._target: int | None = None  # to freeze the state when exactly this is applied
        self._work: _Work | None = None
        self._known: dict[str, dict[int, tuple[str, str]]] = {}  # member: index: scheme, digest
        self._split: tuple[int, float] | None = None  # index, and since when it is seen
        self.rest = IDLE  # how many times as long as a slice to rest after it
        self.checked_index = 0
        self.problem = ""
        self.handlers: dict[str, Callable[[str, Message], None]] = {"digest": self._on_digest}

    # When

    def tick(self, applied_index: int, leads_up_to: int | None) -> None:
        """Time has passed. `leads_up_to`: the end of the log if this node leads."""
        now = self._now()
        if leads_up_to is not None and now >= self._due_at and self._wanted(leads_up_to):
            self._due_at = now + self._interval_s
            self._target = leads_up_to
            for peer_id in self._electorate.peers:
                self._outbox.transmit(peer_id, self._outbox.make("check", index=leads_up_to))
        if self._target is not None and applied_index >= self._target:
            self._freeze()
        self._report_split(now)

    def named(self, index: int, applied_index: int) -> None:
        """The leader wants the states after `index` compared."""
        if self._work is None and index >= applied_index:
            self._target = index
            if index == applied_index:
                self._freeze()

    def before_apply(self, index: int) -> None:
        """The entry `index` is about to change the state."""
        if self._target is not None and index > self._target:
            self._freeze()

    def state_replaced(self, index: int) -> None:
        """The state is that after `index` now, whatever it was before."""
        if self._target is not None and index > self._target:
            self._target = None

    def _wanted(self, index: int) -> bool:
        """Whether there is something to find out: not again what all are known to agree on."""
        if not self._interval_s or not self._electorate.peers or self._work is not None:
            return False
        digests = self._digests(index)
        return len(digests) <= len(self._electorate.peers) or len(set(digests.values())) > 1

    # Digesting

    def step(self) -> bool:
        """Do a slice of a digest; True if there is more to do at once."""
        work = self._work
        if work is None:
            return False
        try:
            digest = work.source.next_slice()
        except DigestGivenUpError:  # too much changed meanwhile: the next one is made faster
            self._end(work, UNHURRIED)
            self._due_at = max(self._due_at, self._now() + self._interval_s)
            return False
        if digest is None:
            return True
        self._end(work, IDLE)
        now = self._now()
        rest_s = max(self._interval_s, REST * (now - work.began_at))
        self._due_at = max(self._due_at, now + rest_s)
        self._tell(work.index, work.source.scheme, digest)
        return False

    def _end(self, work: _Work, rest: float) -> None:
        self._work = None
        self.rest = rest
        work.source.close()

    def _freeze(self) -> None:
        index, self._target = self._target, None
        if index is not None and self._work is None:
            self._work = _Work(index, self._begin_digest(), self._now())

    def _tell(self, index: int, scheme: str, digest: str) -> None:
        self._note(self._self_id, index, scheme, digest)
        fields = {"index": index, "scheme": scheme, "digest": digest}
        for peer_id in self._electorate.peers:
            self._outbox.transmit(peer_id, self._outbox.make("digest", **fields))
        self._compare(index)

    # Comparing

    def _on_digest(self, peer_id: str, message: Message) -> None:
        self._note(peer_id, message["index"], message["scheme"], message["digest"])
        self._compare(message["index"])

    def _note(self, member: str, index: int, scheme: str, digest: str) -> None:
        known = self._known.setdefault(member, {})
        known[index] = (scheme, digest)
        if len(known) > KEEP:
            del known[min(known)]

    def _digests(self, index: int) -> dict[str, str]:
        """By member, at this index, those that compare with this node's own."""
        own = self._known.get(self._self_id, {}).get(index)
        found = {member: known[index] for member, known in self._known.items() if index in known}
        return {m: digest for m, (scheme, digest) in found.items() if own and scheme == own[0]}

    def _compare(self, index: int) -> None:
        digests = self._digests(index)
        voters = self._electorate.membership.voters
        match judge(self._self_id, voters, digests):
            case StateVerdict.AGREES:
                self._agreed(index, digests)
            case StateVerdict.DIVERGED:
                raise DivergenceError(_diverged(self._self_id, index, digests, len(voters)))
            case StateVerdict.SPLIT if self._split is None:
                self._split = (index, self._now())
            case _:
                return

    def _agreed(self, index: int, digests: Mapping[str, str]) -> None:
        own = digests[self._self_id]
        others = sorted(member for member, digest in digests.items() if digest != own)
        self.checked_index = max(self.checked_index, index)
        self._split = None
        self.problem = ""
        if others:
            self.problem = (
                f"the state of {', '.join(others)} after entry {index} differs from that of the "
                "majority, this node included; such a node stops itself"
            )

    def _report_split(self, now: float) -> None:
        """The missing digests had their time: nobody will have a majority any more."""
        if self._split is None or now - self._split[1] < self._interval_s:
            return
        index, self._split = self._split[0], None
        digests = self._digests(index)
        if judge(self._self_id, self._electorate.membership.voters, digests) is StateVerdict.SPLIT:
            self.problem = (
                f"the states after entry {index} differ, and none is shared by a majority, so it "
                f"is not known which is right: {_listed(digests)}. Start the members that are "
                "missing; `coord digest` compares again"
            )


def _diverged(self_id: str, index: int, digests: Mapping[str, str], voters: int) -> str:
    others = {member: digest for member, digest in digests.items() if member != self_id}
    return (
        f"the state of this node after entry {index} is not that of the majority of the {voters} "
        f"voting members. Digest here: {digests[self_id]}; elsewhere: {_listed(others)}. Nothing "
        "that this node holds can be relied on, so it stops. Move its data directory away and "
        "keep it for analysis, then start the node with an empty one: it rejoins by itself"
    )


def _listed(digests: Mapping[str, str]) -> str:
    return ", ".join(f"{member} {digest}" for member, digest in sorted(digests.items()))
