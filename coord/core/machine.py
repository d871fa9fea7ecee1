"""The replicated state machine: batches in, replies and events out.

Pure and deterministic: the same batches give the same state, replies and events on every node.
`apply` moves time, carries out what is due, then handles the requests in order. A handler checks
everything first and then mutates with steps that cannot fail, so a refused command changed nothing;
an exception out of `apply` is a bug, and the node must stop."""

from __future__ import annotations

from collections.abc import Iterable

from coord.core.base.limits import LIMITS, Limits
from coord.core.base.refusal import session_not_found
from coord.core.batch import Applied, Batch, Command, Reply, Request
from coord.core.chores import go_on
from coord.core.digest import Digester, digest
from coord.core.domain import Domain, Registry
from coord.core.domains import DOMAINS, REGISTRY
from coord.core.expiry import expire_due
from coord.core.sessions import dedupe
from coord.core.sessions.liveness import touch
from coord.core.snapshot import GivenNamedRow, StateView, restore
from coord.core.state import State
from coord.core.validate import validate_request_id


class Machine:
    """The state machine of one node. Not thread-safe: one event loop owns it."""

    def __init__(
        self,
        state: State | None = None,
        limits: Limits = LIMITS,
        domains: tuple[Domain, ...] = DOMAINS,
    ) -> None:
        self._registry = _registry_of(domains)
        self.state = state or State(limits, self._registry.make_tables())

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
        registry = self._registry
        expire_due(state, registry.due)
        if state.has_chores:
            go_on(state)
        replies = [_handle(registry, state, request) for request in batch.requests]
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
    def from_rows(
        rows: Iterable[GivenNamedRow],
        limits: Limits = LIMITS,
        domains: tuple[Domain, ...] = DOMAINS,
    ) -> Machine:
        """The machine whose `freeze` gave `rows`. SnapshotFormatError if none did."""
        return Machine(restore(rows, limits, _registry_of(domains)), limits, domains)


def _registry_of(domains: tuple[Domain, ...]) -> Registry:
    return REGISTRY if domains is DOMAINS else Registry(domains)


def _handle(registry: Registry, state: State, request: Request) -> Reply:
    command, request_id = request.command, request.request_id
    check = registry.bounds[type(command)]
    refused = check(command, state.level) or validate_request_id(request_id)
    if refused is not None:
        return refused
    session_id = 0 if request_id is None else request_id.session_id
    if not state.expiries_left:
        settle = registry.settle.get(type(command))
        if settle is not None:  # what it names is brought up to date before its handler looks at it
            settle(state, command, session_id)
    if request_id is None or not session_id:
        return _dispatch(registry, state, command, 0)
    session = state.sessions.get(session_id)
    if session is None or session.expires_at_ms <= state.now_ms:
        return session_not_found(session_id)
    state.sessions.edit(session_id)
    touch(state, session)
    if not request_id.sequence:
        return _dispatch(registry, state, command, session_id)
    reply = dedupe.find_reply(state, session, request_id, command, registry.digest_of)
    if reply is None:
        reply = _dispatch(registry, state, command, session_id)
        # The command may have closed the session it came in.
        if state.sessions.get(session_id) is session:
            sequence, digest_of = request_id.sequence, registry.digest_of
            dedupe.keep_reply(state, session, sequence, reply, command, digest_of)
    return reply


def _dispatch(registry: Registry, state: State, command: Command, session_id: int) -> Reply:
    handler = registry.handlers.get(type(command))
    if handler is not None:
        return handler(state, command)
    return registry.session_handlers[type(command)](state, command, session_id)
