"""What readers are told about sessions."""

from __future__ import annotations

from typing import NamedTuple

from coord.core.base.holdings import LOCK, TASK
from coord.core.base.paging import page_limit
from coord.core.base.request import Labels
from coord.core.listing import Step, session_step
from coord.core.sessions.records import Session
from coord.core.sessions.tables import held_by
from coord.core.state import State


class SessionInfo(NamedTuple):
    """A session as coord.v1.SessionInfo shows it."""

    session_id: int
    kind: str
    name: str
    labels: Labels
    queues: tuple[str, ...]
    slots: int
    ttl_ms: int
    remaining_ms: int
    tasks_held: int
    locks_held: int
    create_revision: int
    opened_unix_ms: int
    stuck: tuple[str, ...]


def list_sessions(
    state: State, kind: str = "", limit: int = 0, after_session_id: int = 0, now_ms: int = 0
) -> tuple[SessionInfo, ...]:
    """Open sessions by id; an empty kind takes all. `limit` 0: 100."""
    count = page_limit(state.limits, limit)
    found: list[int] = []
    step = Step((), after_session_id, False)
    while not step.done and len(found) < count:
        step = session_step(state, kind, count - len(found), step.after)
        found += step.found
    return tuple(session_info(state, state.sessions[one], now_ms) for one in found)


def session_info(state: State, session: Session, now_ms: int) -> SessionInfo:
    """A session as it is shown."""
    now_ms = max(now_ms, state.now_ms)
    return SessionInfo(
        session_id=session.session_id,
        kind=session.kind,
        name=session.name,
        labels=session.labels,
        queues=session.queues,
        slots=session.slots,
        ttl_ms=session.ttl_ms,
        remaining_ms=max(0, session.expires_at_ms - now_ms),
        tasks_held=len(held_by(session, TASK)),
        locks_held=len(held_by(session, LOCK)),
        create_revision=session.session_id,
        opened_unix_ms=session.opened_wall_ms,
        stuck=session.stuck,
    )
