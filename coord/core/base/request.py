"""What every domain shares: who asks, what a plain reply says, and what those who wait are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple


@dataclass(slots=True)
class RequestId:
    """Names one request of one session, for deduplication (Raft dissertation, section 6.3).

    `sequence` 0 = not deduplicated. Replies below `acked_below` may be forgotten."""

    session_id: int
    sequence: int
    acked_below: int


class Done(NamedTuple):
    """The command was carried out and has nothing more to say."""

    revision: int


class EventKind(IntEnum):
    TASK_READY = 1  # subject: queue - something can be claimed that could not be before
    TASK_FINISHED = 2  # subject: task_id
    TASK_LEASE_LOST = 3  # subject: task_id
    LOCK_GRANTED = 4  # subject: lock name (to a waiter)
    LOCK_WAIT_ENDED = 5  # subject: lock name (a waiter left without the lock)
    SESSION_ENDED = 6  # subject: decimal session id
    KV_CHANGED = 7  # subject: key, latin-1
    LEVEL_RAISED = 8  # subject: decimal level


class Event(NamedTuple):
    """Something that happened in apply, for those who wait. Events are not replicated.

    `token`: fencing token, session id or 0. `session_id`, `holder`: the contender, if it is about
    one contender of a lock."""

    kind: EventKind
    subject: str
    revision: int
    token: int = 0
    session_id: int = 0
    holder: str = ""


Labels = tuple[tuple[str, str], ...]  # sorted


def labels_of(labels: dict[str, str]) -> Labels:
    """Labels as they are kept."""
    return tuple(sorted(labels.items()) if len(labels) > 1 else labels.items())


def labels_in_row(pairs: Any) -> Labels:
    return tuple((key, value) for key, value in pairs) if pairs else ()
