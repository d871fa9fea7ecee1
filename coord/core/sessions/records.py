"""The record of a session, the replies it keeps, and their rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from coord.core.base.request import Labels, labels_in_row
from coord.core.base.table import GivenRow, Row
from coord.core.batch import Reply


@dataclass(slots=True)
class Session:
    session_id: int  # the revision that opened it
    nonce: bytes
    ttl_ms: int
    kind: str
    name: str
    labels: Labels
    queues: tuple[str, ...]
    slots: int
    opened_wall_ms: int
    expires_at_ms: int  # > now, or it would be gone
    acked_below: int = 0  # replies below are forgotten
    stuck: tuple[str, ...] = ()  # tasks whose handlers do not end, as the worker says
    # ---- derived
    # Keys by kind (`coord.core.base.holdings`), in the order in which the session got them.
    held: dict[int, dict[Any, None]] = field(default_factory=dict)
    replies: list[int] = field(default_factory=list)  # sequences kept, ascending
    reply_bytes: int = 0  # of all of them


# What a request was answered; what it asked for (`Registry.digest_of`; 0: nobody noted it); and the
# size of the reply (`coord.core.sizes`), which is derived. One is made for every request, and a
# plain tuple is made in a tenth of the time of a named one.
KeptReply = tuple[Reply, int, int]


def encode_session(_: int, s: Session) -> Row:
    """What came with feature level 1 stands in the row only where it is set."""
    row = _session_row(s)
    return (*row, s.stuck) if s.stuck else row


def _session_row(s: Session) -> Row:
    return (
        s.session_id,
        s.nonce,
        s.ttl_ms,
        s.kind,
        s.name,
        s.labels,
        s.queues,
        s.slots,
        s.opened_wall_ms,
        s.expires_at_ms,
        s.acked_below,
    )


def decode_session(row: GivenRow) -> tuple[int, Session]:
    values = (*row[:5], labels_in_row(row[5]), tuple(row[6]), *row[7:11])
    session = Session(*values)
    if len(row) > 11:
        session.stuck = tuple(row[11])
    return row[0], session
