"""When to stand for election, and who may: pre-vote (Raft dissertation section 9.6) and the clock
of leader contact. Pure; times are seconds on the replica's clock.

A node whose leader falls silent does not raise its term: it first asks the others whether they
would vote for it. They refuse while they hear from a leader themselves, so a node that merely lost
its own link disturbs nobody. A leader's process that dies resets its connections at once; losing
the connection therefore counts as not hearing from it, and shortens the wait.

Then all nodes ask at about the same time, and votes may be split: the likelier, the more nodes
there are and the slower their disks and links. So who supports another's request puts its own off,
and of two that ask for the same term at once only one gives way. Both hold for the first request of
each peer and term alone: a node that can ask and can not win holds nobody up for long.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class ElectionTimes:
    """Seconds. min_s < max_s; fast_max_s bounds the wait after the leader's connection broke."""

    min_s: float = 0.6
    max_s: float = 1.0
    fast_min_s: float = 0.01
    fast_max_s: float = 0.12
    round_s: float = 0.1  # an election without outcome is tried again after one to two of them


class Election:
    """One node's election clock and its present pre-vote round."""

    def __init__(self, times: ElectionTimes, rng: Random, now: float) -> None:
        self._times = times
        self._rng = rng
        self._heard_at = -math.inf
        self._deadline = now + self._random(times.min_s, times.max_s)
        self._rounds = 0  # pre-vote rounds since a leader was heard
        self._wanted_term: int | None = None
        self._supporters: set[str] = set()
        self._gave_way_to: set[tuple[str, int]] = set()  # peers and terms, since a leader was heard

    def heard_leader(self, now: float) -> None:
        """A valid append of the current leader has come."""
        self._heard_at = now
        self._rounds = 0
        self._wanted_term = None
        self._gave_way_to.clear()
        self._deadline = now + self._random(self._times.min_s, self._times.max_s)

    def voted(self, now: float) -> None:
        """This node gave its vote away, and gives that candidate time."""
        self._wanted_term = None
        self._deadline = now + self._random(self._times.min_s, self._times.max_s)

    def lost_leader(self, now: float) -> None:
        """The leader is gone for sure, as far as this node can see."""
        self._heard_at = -math.inf
        fast = now + self._random(self._times.fast_min_s, self._times.fast_max_s)
        self._deadline = min(self._deadline, fast)

    def may_stand(self, now: float) -> None:
        """This node votes from now on. If nobody leads, there is nothing to wait for."""
        if not self.leader_is_fresh(now):
            self.lost_leader(now)

    def leader_is_fresh(self, now: float) -> bool:
        """Whether a leader was heard within the minimum election time-out."""
        return now - self._heard_at < self._times.min_s

    def expired(self, now: float) -> bool:
        return now >= self._deadline

    def begin_round(self, now: float, wanted_term: int) -> None:
        """Start to ask for `wanted_term`."""
        self._wanted_term = wanted_term
        self._supporters = set()
        self._rounds += 1
        self._deadline = now + self._round()

    def begin_election(self, now: float) -> None:
        """The real election has begun; if nothing comes of it, try again."""
        self._wanted_term = None
        self._deadline = now + self._round()

    def insists(self, wanted_term: int) -> bool:
        """Whether this node asks for the same, and has not done so in vain before."""
        return self._wanted_term == wanted_term and self._rounds == 1

    def is_open(self, wanted_term: int) -> bool:
        """Whether this node neither asks for the term nor has given way to another that does."""
        supports = any(term == wanted_term for _, term in self._gave_way_to)
        return self._wanted_term != wanted_term and not supports

    def supports(self, peer_id: str, wanted_term: int, now: float) -> None:
        """This node would vote for the peer; it gives it time to win, once."""
        if (peer_id, wanted_term) not in self._gave_way_to:
            self._gave_way_to.add((peer_id, wanted_term))
            self._wanted_term = None
            self._deadline = max(self._deadline, now + self._round())

    def supported(self, peer_id: str, wanted_term: int) -> Collection[str]:
        """A peer would vote; all that would, none if that is of no interest."""
        if self._wanted_term is None or wanted_term != self._wanted_term:
            return ()
        self._supporters.add(peer_id)
        return self._supporters

    def _round(self) -> float:
        """How long to wait for an outcome: longer each time, in case disks or links are slow."""
        round_s = min(self._times.round_s * 1.5 ** min(self._rounds, 10), self._times.min_s)
        return self._random(round_s, 2 * round_s)

    def _random(self, low: float, high: float) -> float:
        return low + (high - low) * self._rng.random()


def log_is_current(candidate: tuple[int, int], own: tuple[int, int]) -> bool:
    """Whether a candidate's log, as (last term, last index), is at least as complete as ours (Raft
    section 5.4.1)."""
    return candidate >= own
