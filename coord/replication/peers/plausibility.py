"""Numbers in peers' messages that cannot be right: one of them, once it is stored, would end the
cluster. A term near the largest there is leaves no later one to be elected in; a run counted from
such a number mutes the node it is said to be of; an index misleads whoever waits for it.

Each number is measured by what this node has itself of its kind, and may be 2^32 ahead of it:
more elections, entries or messages than there can be in the time that a node is away. A node that
is being admitted has no term, and a log that is still to be copied to it, to measure by; it takes
terms from a set of answers that agree (`admission`), and its log is checked as it grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from operator import itemgetter
from typing import Final

from coord.replication.engine_journal import EngineJournal
from coord.replication.membership import Electorate
from coord.replication.messages import MAX_INDEX, InvalidMessageError, Message, StampGuard
from coord.replication.outbox import Outbox
from coord.replication.own_admission import OwnAdmission

MAX_AHEAD: Final = 2**32
COUNT_FLOOR: Final = 2**40  # messages of a run that was not heard from its beginning
LARGEST_SIZE: Final = 2**44
LATEST_CLOCK_MS: Final = 2**45
# Runs of a new directory count from the wall clock. One that shows less than this is wrong, as on
# a machine without a battery; the others' clocks may be right.
EARLIEST_WALL_MS: Final = 1_795_000_000_000


class Kind(Enum):
    """What a number counts."""

    TERM = "term"
    INDEX = "index"
    RUN = "run"
    COUNT = "count"
    CLOCK = "clock"
    SIZE = "size"
    RANDOM = "random"  # compared with nothing but itself


_T, _I, _R, _C = Kind.TERM, Kind.INDEX, Kind.RUN, Kind.COUNT
STAMP: Final[Mapping[str, Kind]] = {"term": _T, "boot": _R, "number": _C}
NUMBERS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "append": {"prev_index": _I, "prev_term": _T, "commit": _I, "append": _C, "read": _C},
    "ack": {"append": _C, "next": _I, "read": _C, "mark": Kind.CLOCK},
    "seen": {"append": _C, "read": _C, "mark": Kind.CLOCK},
    "vote_request": {"last_index": _I, "last_term": _T},
    "vote": {},
    "pre_vote": {"last_index": _I, "last_term": _T, "wanted": _T},
    "pre_vote_reply": {"wanted": _T},
    "stale": {},
    "timeout_now": {},
    "check": {"index": _I},
    "digest": {"index": _I},
    "snapshot": {
        "index": _I,
        "snapshot_term": _T,
        "prev_index": _I,
        "prev_term": _T,
        "created_wall_ms": Kind.CLOCK,
        "format": Kind.SIZE,
        "size": Kind.SIZE,
        "offset": Kind.SIZE,
    },
    "snapshot_ack": {"index": _I, "snapshot_term": _T, "offset": Kind.SIZE},
    "members": {"index": _I},
    "behind": {"known": _R},
    "introduce": {"nonce": Kind.RANDOM},
    "introduction": {"nonce": Kind.RANDOM, "incarnation": Kind.RANDOM, "members_index": _I},
}
"""Of each kind of message. The terms of entries are at most that of the message, which is checked
before; a run and a mark that a leader gives back have to be the follower's own."""

_LISTS: Final = {kind: (*STAMP.items(), *fields.items()) for kind, fields in NUMBERS.items()}


def _values(kind: str, *counted: Kind) -> Callable[[Message], tuple[int, ...]]:
    """The values of those fields that count this, at least one of which every message has."""
    names = [name for name, what in _LISTS[kind] if what in counted and name != "mark"]
    return itemgetter(*names, names[0])


_VALUES: Final = {kind: _values(kind, _T, _I, _C, Kind.SIZE) for kind in NUMBERS}
# Fields that are measured otherwise, or may be missing, and what is ordinary for them.
_LATEST: Final = {"mark": LATEST_CLOCK_MS, "created_wall_ms": LATEST_CLOCK_MS, "known": MAX_AHEAD}
_OTHERS: Final = {
    kind: [(name, _LATEST[name]) for name in fields if name in _LATEST]
    for kind, fields in NUMBERS.items()
}


class ImplausibleNumberError(InvalidMessageError):
    """A number is too far ahead to be right; the message has no effect."""


def latest_run(wall_ms: int, *known: int) -> int:
    """The highest run that a node can be in. `known`: runs of it, or of this node."""
    return max(EARLIEST_WALL_MS, wall_ms, *known) + MAX_AHEAD


class PlausibilityCheck:
    """What a replica measures its peers' numbers by."""

    def __init__(
        self,
        journal: EngineJournal,
        outbox: Outbox,
        stamps: StampGuard,
        electorate: Electorate,
        admission: OwnAdmission,
        wall_ms: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._stamp_of = stamps.last_of
        self._electorate = electorate
        self._admission = admission
        self._wall_ms = wall_ms

    def check(self, peer_id: str, message: Message) -> None:
        """Raises ImplausibleNumberError. For messages that are well formed."""
        if not self._is_ordinary(peer_id, message):
            self._measure(peer_id, message)

    def _is_ordinary(self, peer_id: str, message: Message) -> bool:
        """Nearly all messages are, which is seen at once: their numbers are below all limits."""
        kind = message["type"]
        if max(_VALUES[kind](message)) > MAX_AHEAD or message["boot"] > self._stamp_of(peer_id)[0]:
            return False
        for name, latest in _OTHERS[kind]:
            if message.get(name, 0) > latest:
                return False
        mark = message.get("fresh")
        return not (mark and mark[2] > MAX_AHEAD)

    def _measure(self, peer_id: str, message: Message) -> None:
        term_limit, index_limit = self._term_limit(), self.index_limit()
        for name, kind in _LISTS[message["type"]]:
            value = message.get(name, 0)
            if kind is Kind.TERM:
                limit = term_limit
            elif kind is Kind.INDEX:
                limit = index_limit
            elif value <= MAX_AHEAD or kind is Kind.RANDOM:
                continue
            else:
                limit = self._limit(peer_id, kind)
            if value > limit:
                raise ImplausibleNumberError(_told(message["type"], name, value, limit))
        if (mark := message.get("fresh")) and mark[2] > index_limit:
            raise ImplausibleNumberError(_told("append", "fresh", mark[2], index_limit))

    def index_limit(self) -> int:
        """A node that votes has a log that is not being filled from nothing."""
        has_log = self._admission.votes and self._electorate.votes
        return self._journal.last_index + MAX_AHEAD if has_log else MAX_INDEX

    def _term_limit(self) -> int:
        admitted = self._admission.follows
        return self._journal.getCurrentTerm() + MAX_AHEAD if admitted else MAX_INDEX

    def _limit(self, peer_id: str, kind: Kind) -> int:
        """For numbers that are large at all."""
        if kind is Kind.RUN:
            return latest_run(self._wall_ms(), self._outbox.boot_id, self._stamp_of(peer_id)[0])
        if kind is Kind.COUNT:
            return max(COUNT_FLOOR, self._stamp_of(peer_id)[1]) + MAX_AHEAD
        return LATEST_CLOCK_MS if kind is Kind.CLOCK else LARGEST_SIZE


def _told(message_type: str, name: str, value: int, limit: int) -> str:
    return (
        f"{message_type}: {name} {value} is beyond reason ({limit} at most can be right here), so "
        "the message is not taken; if it is right after all (this node was away for years, or a "
        "clock is far off), stop this node, move its data directory away and start it again"
    )
