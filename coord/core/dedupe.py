"""Requests of a session are carried out at most once (Raft dissertation, section 6.3).

A session keeps the reply of every request until the client says that it has it (`acked_below`), or
until there are too many; then the oldest goes. What is below the window was carried out and its
reply given up, or it overtook the whole window and never was: either way it is refused, so that
nothing can be done twice. Requests may come in any order within the window."""

from __future__ import annotations

from bisect import bisect_left, insort

from coord.core.commands import RequestId
from coord.core.reasons import Reason
from coord.core.records import Session
from coord.core.replies import Claimed, Rejected, Reply
from coord.core.state import State


def find_reply(state: State, session: Session, request_id: RequestId) -> Reply | None:
    """The kept reply, a refusal if it was given up, None if the request is new.

    Forgets what the client has acknowledged. `session` comes from `edit`."""
    if request_id.acked_below > session.acked_below:
        _forget_below(state, session, request_id.acked_below)
    sequence = request_id.sequence
    if sequence < session.acked_below:
        return Rejected(
            Reason.SEQUENCE_FORGOTTEN,
            f"the reply of request {sequence} was given up; kept are {session.acked_below} and up",
            (("acked_below", str(session.acked_below)),),
        )
    return state.replies.get((session.session_id, sequence))


def keep_reply(state: State, session: Session, sequence: int, reply: Reply) -> None:
    """Keeps the reply of a new request.

    An empty claim is not kept: it changed nothing, and its caller waits on and proposes it again
    under the same sequence."""
    if isinstance(reply, Claimed) and not reply.tasks:
        return
    if len(session.replies) >= state.limits.max_replies_per_session:
        _forget_below(state, session, session.replies[0] + 1)
    if sequence < session.acked_below:
        return
    state.replies.insert((session.session_id, sequence), reply)
    if session.replies and sequence < session.replies[-1]:
        insort(session.replies, sequence)
    else:
        session.replies.append(sequence)


def drop_replies(state: State, session: Session) -> None:
    """Forgets everything, when the session ends."""
    for sequence in session.replies:
        state.replies.remove((session.session_id, sequence))
    session.replies.clear()


def _forget_below(state: State, session: Session, acked_below: int) -> None:
    session.acked_below = acked_below
    gone = bisect_left(session.replies, acked_below)
    for sequence in session.replies[:gone]:
        state.replies.remove((session.session_id, sequence))
    del session.replies[:gone]
