"""Thrifty replication: a leader sends each entry at once to a quorum only.

A majority commits an entry, so of two followers one is enough, of four two. The leader sends these
few, the thrifty quorum, every entry as it comes. The other followers get theirs some milliseconds
later, several at a time. That costs them and the leader a fraction of the messages, syncs and
wake-ups. What is acknowledged is on the disks of a majority either way.

If the quorum takes much longer than usual, the leader sends everything to everybody, and whoever
kept the others waiting leaves the quorum. Pure: callers tell the time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

PATIENCE_MIN_S = 0.005
PATIENCE_MAX_S = 0.05
PATIENCE = 4  # times what is usual
SMOOTHING = 8  # of what is usual: over about so many commits

MatchIndex = Callable[[str], int]


class ThriftyReplication:
    """The thrifty replication of one leader in one term. `is_majority`: whether these voters and
    the leader are enough. `delay_s`: how long followers outside of the quorum may wait; 0: nobody
    waits. `quorum`: as chosen last."""

    def __init__(self, is_majority: Callable[[Collection[str]], bool], delay_s: float) -> None:
        self._is_majority = is_majority
        self._delay_s = delay_s
        self._faults: dict[str, int] = {}  # of each voter that was too slow: when, by counting
        self._stalls = 0
        self._commit_index = 0
        self._waiting_since: float | None = None  # while something is not committed
        self._asked_at: float | None = None  # while a majority has not confirmed a read
        self._usual_s = PATIENCE_MIN_S / PATIENCE
        self._stalled = False
        self.quorum: frozenset[str] = frozenset()

    def note(self, commit_index: int, last_index: int, now: float) -> None:
        """Note how far the log is committed, and how long it is."""
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
        """Note whether reads wait for a majority, asked now, to confirm the leader."""
        self._asked_at = now if pending else None

    def is_late(self, now: float) -> bool:
        """Return whether an entry has waited for its majority for too long."""
        since = self._waiting_since
        return since is not None and now - since >= self._patience_s

    def read_is_late(self, now: float) -> bool:
        """Return whether a read has waited for its majority for too long."""
        return self._asked_at is not None and now - self._asked_at >= self._patience_s

    def choose(self, able: Sequence[str]) -> None:
        """Choose the quorum among the voters that can be sent to: the most reliable ones that make
        a majority. All of them if they make none."""
        chosen: list[str] = []
        for voter in sorted(able, key=lambda voter: self._faults.get(voter, 0)):
            if self._delay_s > 0 and self._is_majority(chosen):
                break
            chosen.append(voter)
        self.quorum = frozenset(chosen)

    def due(
        self,
        lacking: Sequence[str],
        sent_at: Mapping[str, float],
        match_index: MatchIndex,
        now: float,
    ) -> Sequence[str]:
        """Return which of the peers that lack entries are to be sent them now. `sent_at`: when
        something was last sent to each; `match_index`: up to where each has acknowledged."""
        if self.is_late(now):
            self._note_stall(match_index)
            return lacking
        quorum, since = self.quorum, now - self._delay_s
        return [peer for peer in lacking if peer in quorum or sent_at.get(peer, -1.0) <= since]

    @property
    def _patience_s(self) -> float:
        return min(max(self._usual_s * PATIENCE, PATIENCE_MIN_S), PATIENCE_MAX_S)

    def _note_stall(self, match_index: MatchIndex) -> None:
        """Count a stall once; the next choice is another one."""
        if self._stalled:
            return
        self._stalled = True
        self._stalls += 1
        for voter in self.quorum:
            if match_index(voter) <= self._commit_index:
                self._faults[voter] = self._stalls
