"""Whom a leader tells at once, and who may wait a little.

An entry is committed by a majority, so of two followers one is enough, of four two. These few, the
eager ones, are sent every entry as it comes. The others get theirs some milliseconds later, several
at a time, which costs them, and the leader, a fraction of the messages, syncs and wake-ups (Paxos
calls it thrifty). What is acknowledged is on the disks of a majority either way.

Should the eager ones take much longer than is usual, everybody is sent everything, and whoever kept
the others waiting is not eager any more. Pure: time is told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

PATIENCE_MIN_S = 0.005
PATIENCE_MAX_S = 0.05
PATIENCE = 4  # times what is usual
SMOOTHING = 8  # of what is usual: over about so many commits

MatchIndex = Callable[[str], int]


class Pace:
    """One leader's, for one term. `is_majority`: whether these voters and the leader are enough.
    `lazy_s`: how long the others may wait; 0: nobody waits. `eager`: as chosen last."""

    def __init__(self, is_majority: Callable[[Collection[str]], bool], lazy_s: float) -> None:
        self._is_majority = is_majority
        self._lazy_s = lazy_s
        self._faults: dict[str, int] = {}  # of each voter that was too slow: when, by counting
        self._stalls = 0
        self._commit_index = 0
        self._waiting_since: float | None = None  # while something is not committed
        self._asked_at: float | None = None  # while a majority has not confirmed a read
        self._usual_s = PATIENCE_MIN_S / PATIENCE
        self._stalled = False
        self.eager: frozenset[str] = frozenset()

    def note(self, commit_index: int, last_index: int, now: float) -> None:
        """How far things are."""
        if commit_index > self._commit_index:
            if self._waiting_since is not None:
                took_s = min(now - self._waiting_since, PATIENCE_MAX_S)
                self._usual_s += (took_s - self._usual_s) / SMOOTHING
            self._commit_index = commit_index
            self._waiting_since = None
            self._stalled = False
        if last_index <= commit_index:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now

    def note_read(self, pending: bool, now: float) -> None:
        """Whether reads wait for a majority to confirm the leader, which was asked now."""
        self._asked_at = now if pending else None

    def is_late(self, now: float) -> bool:
        """Whether an entry has waited for its majority for too long."""
        since = self._waiting_since
        return since is not None and now - since >= self._patience_s

    def read_is_late(self, now: float) -> bool:
        """The same for reads."""
        return self._asked_at is not None and now - self._asked_at >= self._patience_s

    def choose(self, able: Sequence[str]) -> None:
        """The eager ones: those of the voters that can be sent to who make a majority, the most
        reliable ones. All of them if they make none."""
        chosen: list[str] = []
        for voter in sorted(able, key=lambda voter: self._faults.get(voter, 0)):
            if self._lazy_s > 0 and self._is_majority(chosen):
                break
            chosen.append(voter)
        self.eager = frozenset(chosen)

    def due(
        self,
        lacking: Sequence[str],
        sent_at: Mapping[str, float],
        match_index: MatchIndex,
        now: float,
    ) -> Sequence[str]:
        """Who of those that lack entries is to be sent them now. `sent_at`: when something was last
        sent to each; `match_index`: up to where each has acknowledged."""
        if self.is_late(now):
            self._note_stall(match_index)
            return lacking
        eager, since = self.eager, now - self._lazy_s
        return [peer for peer in lacking if peer in eager or sent_at.get(peer, -1.0) <= since]

    @property
    def _patience_s(self) -> float:
        return min(max(self._usual_s * PATIENCE, PATIENCE_MIN_S), PATIENCE_MAX_S)

    def _note_stall(self, match_index: MatchIndex) -> None:
        """Once for each stall; the next choice is another one."""
        if self._stalled:
            return
        self._stalled = True
        self._stalls += 1
        for voter in self.eager:
            if match_index(voter) <= self._commit_index:
                self._faults[voter] = self._stalls
