"""The messages between replicas: one dict each, checked field by field before anything acts on it.

Every message carries `type`, the sender's `term` when it was made, and a stamp: `boot` (grows with
each run of the sender) and `number` (grows with each message of that run). Types:

append          a leader's entries or heartbeat: prev_index, prev_term, entries [[term, command]],
                commit, append (its own number, answered by `ack` and `seen`), read (ReadIndex),
                fresh (a mark of the follower's, given back: how old its state can be)
ack             a follower's answer once what it promises is durable: append, next, success, reset,
                read, mark
seen            a follower's answer before that: it lives and follows; promises nothing; full: its
                disk is
vote_request    last_index, last_term, forced (by a leadership transfer)
vote            granted, for `term`
pre_vote        would you vote for me in `wanted`: last_index, last_term
pre_vote_reply  wanted, granted
stale           your term is old, mine is `term`
timeout_now     lead now (leadership transfer)
check           digest your state when it is that after `index`
digest          my state after `index` has this digest, made by this scheme
snapshot        a piece of a snapshot file: its metadata, size, offset, data
members         the sender's membership, as of log entry index: members, committed
behind          to a node without data, whose runs count from too low: known, the last run
introduce       who are you, and what do you know: nonce
introduction    nonce, incarnation, virgin, votes, founders, members_index, members
snapshot_ack    index, snapshot_term, offset (what is here), done
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, NoReturn, TypeGuard

from coord.replication.entry_kinds import MEMBERS
from coord.replication.membership import decode_members

Message = dict[str, Any]

MAX_INDEX = 2**62
MAX_WORD = 64
MAX_FOUNDERS = 64


class InvalidMessageError(ValueError):
    """A peer's message is not well formed; it must not have any effect."""


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INDEX


def _are_numbers(values: Iterable[object]) -> bool:
    most = MAX_INDEX
    for value in values:  # noqa: SIM110 - a generator takes twice as long, for every message
        if type(value) is not int or not 0 <= value <= most:
            return False
    return True


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_bytes(value: object) -> bool:
    return type(value) is bytes


def _is_word(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_WORD and value.isascii()


def _is_confirmed_mark(value: object) -> bool:
    return type(value) is list and (not value or len(value) == 3) and _are_numbers(value)


def _is_entries(value: object) -> bool:
    if type(value) is not list:
        return False
    for item in value:
        if type(item) is not list or len(item) != 2:
            return False
        if not _is_number(item[0]) or not _is_command(item[1]):
            return False
    return True


def _is_founders(value: object) -> bool:
    return (
        type(value) is list
        and len(value) <= MAX_FOUNDERS
        and all(
            type(item) is list and len(item) == 2 and type(item[0]) is str and _is_number(item[1])
            for item in value
        )
    )


def _is_members(value: object) -> bool:
    if type(value) is not bytes:
        return False
    try:
        decode_members(value)
    except ValueError:
        return False
    return True


def _is_command(value: object) -> bool:
    if type(value) is not bytes or not value:
        return False
    return value[0] != _MEMBERS or _is_members(value[1:])


_MEMBERS = MEMBERS[0]
_Check = Callable[[object], bool]

_STAMP: Mapping[str, _Check] = {"term": _is_number, "boot": _is_number, "number": _is_number}
_SNAPSHOT: Mapping[str, _Check] = {
    "index": _is_number,
    "snapshot_term": _is_number,
    "prev_index": _is_number,
    "prev_term": _is_number,
    "members": _is_bytes,
    "created_wall_ms": _is_number,
    "format": _is_number,
    "size": _is_number,
    "offset": _is_number,
    "data": _is_bytes,
}
FIELDS: Mapping[str, Mapping[str, _Check]] = {
    "append": {
        "prev_index": _is_number,
        "prev_term": _is_number,
        "entries": _is_entries,
        "commit": _is_number,
        "append": _is_number,
        "read": _is_number,
    },
    "ack": {
        "append": _is_number,
        "next": _is_number,
        "success": _is_flag,
        "reset": _is_flag,
        "read": _is_number,
    },
    "seen": {"append": _is_number, "read": _is_number},
    "vote_request": {"last_index": _is_number, "last_term": _is_number, "forced": _is_flag},
    "vote": {},
    "pre_vote": {"last_index": _is_number, "last_term": _is_number, "wanted": _is_number},
    "pre_vote_reply": {"wanted": _is_number, "granted": _is_flag},
    "stale": {},
    "timeout_now": {},
    "check": {"index": _is_number},
    "digest": {"index": _is_number, "scheme": _is_word, "digest": _is_word},
    "snapshot": _SNAPSHOT,
    "snapshot_ack": {
        "index": _is_number,
        "snapshot_term": _is_number,
        "offset": _is_number,
        "done": _is_flag,
    },
    "members": {"index": _is_number, "members": _is_members, "committed": _is_flag},
    "behind": {"known": _is_number},
    "introduce": {"nonce": _is_number},
    "introduction": {
        "nonce": _is_number,
        "incarnation": _is_number,
        "virgin": _is_flag,
        "votes": _is_flag,
        "founders": _is_founders,
        "members_index": _is_number,
        "members": _is_members,
    },
}


def is_members(fields: object) -> TypeGuard[Message]:
    """Whether these are the fields of a `members` message, which travel also without a stamp."""
    return type(fields) is dict and all(
        check(fields.get(name)) for name, check in FIELDS["members"].items()
    )


# May be missing: peers of an older version do not send them.
_OPTIONAL: Mapping[str, Mapping[str, _Check]] = {
    "append": {"fresh": _is_confirmed_mark},
    "ack": {"mark": _is_number},
    "seen": {"mark": _is_number, "full": _is_flag},
}


def _fields(kind: str, *, numbers: bool) -> dict[str, _Check]:
    """The required fields that are numbers, or the others."""
    every = {**_STAMP, **FIELDS[kind]}
    return {name: check for name, check in every.items() if (check is _is_number) is numbers}


# Most fields are numbers: they are looked at together.
_NUMBERS: Final = {kind: itemgetter(*_fields(kind, numbers=True)) for kind in FIELDS}
_OTHERS: Final = {
    kind: (tuple(_fields(kind, numbers=False).items()), tuple(_OPTIONAL.get(kind, {}).items()))
    for kind in FIELDS
}


def check_message(raw: object) -> Message:
    """The message, if it is well formed. Fields it does not know are left alone, so that a newer
    version may add some. Raises InvalidMessageError."""
    if type(raw) is not dict:
        raise InvalidMessageError(f"a message has to be a map, not {type(raw).__name__}")
    kind = raw.get("type")
    if type(kind) is not str or kind not in FIELDS:
        raise InvalidMessageError(f"unknown message type {kind!r:.40}")
    if not _has_numbers(kind, raw):
        _refuse_number(kind, raw)
    required, optional = _OTHERS[kind]
    for name, check in required:
        if not check(raw.get(name)):
            _refuse(kind, name, raw)
    for name, check in optional:
        if name in raw and not check(raw[name]):
            _refuse(kind, name, raw)
    if kind == "append":
        _check_terms(raw)
    return raw


def _has_numbers(kind: str, raw: Message) -> bool:
    try:
        numbers = _NUMBERS[kind](raw)
    except KeyError:
        return False
    return _are_numbers(numbers)


def _refuse_number(kind: str, raw: Message) -> NoReturn:
    names = _fields(kind, numbers=True)
    _refuse(kind, next(name for name in names if not _is_number(raw.get(name))), raw)


def _refuse(kind: str, name: str, raw: Message) -> NoReturn:
    raise InvalidMessageError(f"{kind}: bad {name} {raw.get(name)!r:.40}")


def _check_terms(raw: Message) -> None:
    """Terms never fall along a log, and no entry is newer than the leader that sends it."""
    floor = raw["prev_term"]
    for entry_term, _ in raw["entries"]:
        if entry_term < floor:
            raise InvalidMessageError("append: the terms of its entries fall")
        floor = entry_term
    if floor > raw["term"]:
        raise InvalidMessageError("append: an entry is of a later term than its leader")


class StampGuard:
    """Lets each stamp of a peer pass once and in rising order, so that nothing delayed or doubled
    by the network acts twice (one per replica). `boots`: the runs of peers that are known."""

    def __init__(self, boots: Mapping[str, int] | None = None) -> None:
        self._last: dict[str, tuple[int, int]] = {
            peer_id: (boot, -1) for peer_id, boot in (boots or {}).items()
        }

    def is_fresh(self, peer_id: str, message: Message) -> bool:
        """Whether it is newer than all before from that peer; then it becomes the newest."""
        stamp = (message["boot"], message["number"])
        if stamp <= self._last.get(peer_id, (-1, -1)):
            return False
        self._last[peer_id] = stamp
        return True

    def boot_of(self, peer_id: str) -> int:
        """The latest run of the peer; -1 if it was never heard."""
        return self._last.get(peer_id, (-1, -1))[0]

    def last_of(self, peer_id: str) -> tuple[int, int]:
        """Run and number of the newest message of the peer."""
        return self._last.get(peer_id, (-1, -1))
