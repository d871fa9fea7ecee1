"""What stands between the network and the engine: pure decisions about appends and their answers.

The published engine, given the messages of a real network, truncates entries that match, moves its
commit index over entries nobody verified, and resends whole logs. Nothing here trusts it: a
follower's engine only ever sees an append that continues its log behind what already matches, with
a commit index this very message has verified; a leader's engine only sees replies of its own term
to appends it numbered, and steps back at most once for each loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from coord.replication.errors import DivergenceError
from coord.replication.storage.writes import Entry


class LogView(Protocol):
    """The follower's log, as the filter needs it."""

    @property
    def first_index(self) -> int: ...
    @property
    def last_index(self) -> int: ...
    def term_at(self, index: int) -> int | None: ...


NewEntry = Sequence[Any]  # its term, its command: a pair as messages carry it


@dataclass(frozen=True, slots=True)
class Append:
    """A leader's append, well formed. Entry i has index prev_index + 1 + i."""

    term: int
    prev_index: int
    prev_term: int
    commit: int
    entries: Sequence[NewEntry]


@dataclass(frozen=True, slots=True)
class Answer:
    """An append reply. success: the log agrees with the leader's below `next_index` (durably, when
    it is sent). reset: it lacks what the append builds on; send from `next_index`."""

    next_index: int
    success: bool
    reset: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an append: `to_engine` goes to the engine; `answer`, if any, is ours to
    send, else the engine answers."""

    to_engine: dict[str, Any]
    answer: Answer | None


def pass_over(append: Append, commit_index: int) -> Verdict:
    """An append that has no effect but to show that its leader lives; nobody answers it."""
    return _heartbeat(append, commit_index, None)


def examine_append(append: Append, log: LogView, commit_index: int) -> Verdict:
    """Judge an append of the current term (Raft section 5.3, receiver's rules 2 to 5).

    Raises DivergenceError if it contradicts something committed here."""
    prev, prev_term, entries = append.prev_index, append.prev_term, append.entries
    if prev > log.last_index:
        return _heartbeat(append, commit_index, Answer(log.last_index + 1, False, True))
    verified = prev + len(entries)
    if prev < log.first_index:
        # At and below its base everything in a log is committed, so the leader has it as well.
        skip = log.first_index - prev
        if len(entries) < skip:
            return _nothing_new(append, verified, commit_index)
        prev, prev_term, entries = log.first_index, entries[skip - 1][0], entries[skip:]
    if log.term_at(prev) != prev_term:
        return _conflict(append, prev, log, commit_index)
    matching = 0
    while matching < len(entries) and log.term_at(prev + 1 + matching) == entries[matching][0]:
        matching += 1
    if matching == len(entries):
        return _nothing_new(append, verified, commit_index)
    prev += matching
    if prev < commit_index:
        raise DivergenceError(
            f"the leader of term {append.term} has another entry {prev + 1} than the one committed "
            f"here (commit index {commit_index})"
        )
    return Verdict(_shortened(append, prev, entries[matching:], log, verified), None)


def _shortened(
    append: Append, prev: int, rest: Sequence[NewEntry], log: LogView, verified: int
) -> dict[str, Any]:
    new: list[Entry] = [(command, prev + 1 + i, term) for i, (term, command) in enumerate(rest)]
    return {
        "type": "append_entries",
        "term": append.term,
        "commit_index": min(append.commit, verified),
        "entries": new,
        "prevLogIdx": prev,
        "prevLogTerm": log.term_at(prev),
    }


def _heartbeat(append: Append, commit: int, answer: Answer | None) -> Verdict:
    """Nothing for the log; `commit` is known to be committed and here."""
    message = {"type": "append_entries", "term": append.term, "commit_index": commit}
    return Verdict(message, answer)


def _nothing_new(append: Append, verified: int, commit_index: int) -> Verdict:
    commit = max(commit_index, min(append.commit, verified))
    return _heartbeat(append, commit, Answer(verified + 1, True, False))


def _conflict(append: Append, prev: int, log: LogView, commit_index: int) -> Verdict:
    """Ask for everything from the first entry of the conflicting term: a term per round trip."""
    if prev <= commit_index:
        raise DivergenceError(
            f"the leader of term {append.term} has entry {prev} of term {append.prev_term}; the "
            f"one committed here is of term {log.term_at(prev)}"
        )
    term = log.term_at(prev)
    first = prev
    while first - 1 > max(commit_index, log.first_index) and log.term_at(first - 1) == term:
        first -= 1
    return _heartbeat(append, commit_index, Answer(first, False, True))


@dataclass(slots=True)
class PeerFlow:
    """A leader's account of the appends to one peer in its present term.

    0 <= last_reset <= last_sent; in_flight rises in append number."""

    last_sent: int = 0
    last_reset: int = 0
    last_commit_sent: int = 0
    in_flight: list[tuple[int, int]] = field(default_factory=list)  # (append number, bytes)
    in_flight_bytes: int = 0

    def sent(self, number: int, size: int, commit: int) -> None:
        """An append was sent; size 0: a heartbeat."""
        self.last_sent = number
        self.last_commit_sent = max(self.last_commit_sent, commit)
        if size:
            self.in_flight.append((number, size))
            self.in_flight_bytes += size

    def answered(self, number: int) -> None:
        """That append, and so all before it, has arrived."""
        done = 0
        while done < len(self.in_flight) and self.in_flight[done][0] <= number:
            self.in_flight_bytes -= self.in_flight[done][1]
            done += 1
        del self.in_flight[:done]

    def lost(self) -> None:
        """Whatever was in flight will not be answered in order."""
        self.in_flight.clear()
        self.in_flight_bytes = 0

    def judge(
        self, number: int, answer: Answer, match_index: int, last_index: int
    ) -> Answer | None:
        """The answer as the engine may see it; None: it says nothing the engine may act on.

        One reset is honoured for all appends sent until then (the others in flight fail for the
        same reason), and none takes the peer back below what it is known to have."""
        if not self.last_reset < number <= self.last_sent and answer.reset:
            return None
        if not 0 < number <= self.last_sent or answer.next_index > last_index + 1:
            return None
        if not answer.reset:
            return answer if answer.success else None
        self.last_reset = self.last_sent
        self.lost()
        return Answer(max(answer.next_index, match_index + 1), False, True)
