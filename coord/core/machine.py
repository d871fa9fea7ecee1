"""The replicated state machine: batches in, replies and events out.

Pure and deterministic: the same batches give the same state, replies and events on every node.
`apply` moves time, carries out what is due, then handles the requests in order. A handler checks
everything first and then mutates with steps that cannot fail, so a refused command changed nothing;
an exception out of `apply` is a bug, and the node must stop."""

from __future__ import annotations

from collections.abc import Iterable

from coord.core.base.limits import LIMITS, Limits
from coord.core.base.refusal import Rejected, session_not_found
from coord.core.base.sentences import Wording
from coord.core.batch import Applied, Batch, Command, Reply, Request
from coord.core.digest import Digester, digest
from coord.core.domain import Domain, Registry
from coord.core.domains import DOMAINS, REGISTRY
from coord.core.expiry import expire_due, go_on, has_chores
from coord.core.sessions.dedupe import find_reply, keep_reply
from coord.core.sessions.liveness import touch
from coord.core.snapshot import GivenNamedRow, StateView, restore
from coord.core.state import State
from coord.core.tasks.commands import ItemOutcome, ItemOutcomes
from coord.core.validate import validate_request_id


class Machine:
    """The state machine of one node. Not thread-safe: one event loop owns it."""

    def __init__(
        self,
        state: State | None = None,
        limits: Limits = LIMITS,
        domains: tuple[Domain, ...] = DOMAINS,
    ) -> None:
        registry = _registry_of(domains)
        self._registry = registry
        self.state = state or registry.new_state(limits)
        self._bound = registry.bind(self.state)

    @property
    def revision(self) -> int:
        return self.state.revision

    @property
    def now_ms(self) -> int:
        """Cluster time as of the last batch."""
        return self.state.now_ms

    def apply(self, batch: Batch) -> Applied:
        """Carries out one log entry: one reply per request, and the events, in order."""
        ctx, bound = self.state.ctx, self._bound
        ctx.start_batch(batch.now_ms, batch.wall_ms)
        expire_due(ctx, bound)
        if has_chores(bound):
            go_on(ctx, bound)
        replies = [self._handle(request) for request in batch.requests]
        return Applied(replies, ctx.events, ctx.revision)

    @property
    def has_chores(self) -> bool:
        """Whether something that was begun is left for the next entries."""
        return has_chores(self._bound)

    def next_deadline_ms(self, until_ms: int) -> int | None:
        """Cluster time at which an empty batch would change something, if that is not after
        `until_ms`. Otherwise a time after `until_ms` at which to ask again; None if never."""
        ctx = self.state.ctx
        return ctx.now_ms if has_chores(self._bound) else ctx.next_timer_ms(until_ms)

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

    def _handle(self, request: Request) -> Reply:
        command, request_id, ctx = request.command, request.request_id, self.state.ctx
        check = self._registry.bounds[type(command)]
        refused = check(command, ctx.level) or validate_request_id(request_id)
        if refused is not None:
            return refused
        session_id = 0 if request_id is None else request_id.session_id
        if not ctx.expiries_left:
            self._settle(command, session_id)
        if request_id is None or not session_id:
            return self._dispatch(command, 0)
        sessions = self.state.session_tables
        session = sessions.sessions.get(session_id)
        if session is None or session.expires_at_ms <= ctx.now_ms:
            return self._told(session_not_found(session_id))
        sessions.sessions.edit(session_id)
        touch(ctx, session)
        if not request_id.sequence:
            return self._dispatch(command, session_id)
        digest_of = self._registry.digest_of
        reply = find_reply(ctx, sessions, session, request_id, command, digest_of)
        if reply is None:
            reply = self._dispatch(command, session_id)
            # The command may have closed the session it came in.
            if sessions.sessions.get(session_id) is session:
                sequence = request_id.sequence
                keep_reply(ctx, sessions, session, sequence, reply, command, digest_of)
        return reply

    def _settle(self, command: Command, session_id: int) -> None:
        """What a request names is brought up to date before its handler looks at it."""
        found = self._bound.settle.get(type(command))
        if found is not None:
            settle, tables = found
            settle(self.state.ctx, tables, command, session_id)

    def _dispatch(self, command: Command, session_id: int) -> Reply:
        ctx = self.state.ctx
        found = self._bound.handlers.get(type(command))
        if found is not None:
            handler, tables = found
            reply = handler(ctx, tables, command)
        else:
            session_handler, tables = self._bound.session_handlers[type(command)]
            reply = session_handler(ctx, tables, command, session_id)
        return self._told(reply)

    def _told(self, reply: Reply) -> Reply:
        """The reply in the form of the level in force."""
        wording, level = self._registry.wording, self.state.ctx.level
        return reply if level >= 2 else before_level_2(reply, wording)


def _registry_of(domains: tuple[Domain, ...]) -> Registry:
    return REGISTRY if domains is DOMAINS else Registry(domains)


def before_level_2(reply: Reply, wording: Wording) -> Reply:
    """A reply as builds without level 2 keep and digest it: refusals are in words."""
    if isinstance(reply, Rejected):
        return wording.before_level_2(reply)
    if isinstance(reply, ItemOutcomes):
        return ItemOutcomes(tuple([_in_words(one, wording) for one in reply.items]))
    return reply


def _in_words(item: ItemOutcome, wording: Wording) -> ItemOutcome:
    if item.rejected is None:
        return item
    return item._replace(rejected=wording.before_level_2(item.rejected))
