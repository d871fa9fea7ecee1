"""The replicated state machine: batches in, replies and events out.

Pure and deterministic: the same batches give the same state, replies and events on every node.
`apply` moves time, carries out what is due, then handles the requests in order. A handler checks
everything first and then mutates with steps that cannot fail, so a refused command changed nothing;
an exception out of `apply` is a bug, and the node must stop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from coord.core.base.limits import LIMITS, Limits
from coord.core.base.refusal import session_not_found
from coord.core.batch import Applied, Batch, Command, Reply, Request
from coord.core.chores import go_on
from coord.core.digest import Digester, digest
from coord.core.domains import DOMAINS
from coord.core.expiry import expire_due, settle_named
from coord.core.sessions import dedupe
from coord.core.sessions.liveness import touch
from coord.core.snapshot import GivenNamedRow, StateView, restore
from coord.core.state import State
from coord.core.validate import validate, validate_request_id

_HANDLERS: Final = {kind: handle for domain in DOMAINS for kind, handle in domain.handlers.items()}
_SESSION_HANDLERS: Final = {
    kind: handle for domain in DOMAINS for kind, handle in domain.session_handlers.items()
}


class Machine:
    """The state machine of one node. Not thread-safe: one event loop owns it."""

    def __init__(self, state: State | None = None, limits: Limits = LIMITS) -> None:
        self.state = state or State(limits)

    @property
    def revision(self) -> int:
        return self.state.revision

    @property
    def now_ms(self) -> int:
        """Cluster time as of the last batch."""
        return self.state.now_ms

    def apply(self, batch: Batch) -> Applied:
        """Carries out one log entry: one reply per request, and the events, in order."""
        state = self.state
        state.start_batch(batch.now_ms, batch.wall_ms)
        expire_due(state)
        if state.has_chores:
            go_on(state)
        replies = [_handle(state, request) for request in batch.requests]
        return Applied(replies, state.events, state.revision)

    def next_deadline_ms(self, until_ms: int) -> int | None:
        """Cluster time at which an empty batch would change something, if that is not after
        `until_ms`. Otherwise a time after `until_ms` at which to ask again; None if never."""
        return self.state.next_deadline_ms(until_ms)

    def freeze(self) -> StateView:
        """The state as of now, to be read in slices while batches go on being applied."""
        return StateView(self.state)

    def digest(self) -> str:
        """Equal on two nodes exactly if their states are. Blocks for the whole state."""
        return digest(self.state)

    def digest_slices(self) -> Digester:
        """The same digest, of the state as of now, a slice at a time."""
        return Digester(self.state)

    @staticmethod
    def from_rows(rows: Iterable[GivenNamedRow], limits: Limits = LIMITS) -> Machine:
        """The machine whose `freeze` gave `rows`. SnapshotFormatError if none did."""
        return Machine(restore(rows, limits))


def _handle(state: State, request: Request) -> Reply:
    command, request_id = request.command, request.request_id
    refused = validate(command, state.level) or validate_request_id(request_id)
    if refused is not None:
        return refused
    session_id = 0 if request_id is None else request_id.session_id
    if not state.expiries_left:
        settle_named(state, command, session_id)
    if request_id is None or not session_id:
        return _dispatch(state, command, 0)
    session = state.sessions.get(session_id)
    if session is None or session.expires_at_ms <= state.now_ms:
        return session_not_found(session_id)
    state.sessions.edit(session_id)
    touch(state, session)
    if not request_id.sequence:
        return _dispatch(state, command, session_id)
    reply = dedupe.find_reply(state, session, request_id, command)
    if reply is None:
        reply = _dispatch(state, command, session_id)
        # The command may have closed the session it came in.
        if state.sessions.get(session_id) is session:
            dedupe.keep_reply(state, session, request_id.sequence, reply, command)
    return reply


def _dispatch(state: State, command: Command, session_id: int) -> Reply:
    handler = _HANDLERS.get(type(command))
    if handler is not None:
        return handler(state, command)
    return _SESSION_HANDLERS[type(command)](state, command, session_id)
