"""The registration of a domain: everything that one part of the state machine brings.

Whoever adds a primitive adds a folder with a `DOMAIN` to the core, and one line to
`coord.core.domains`. What is missing is noticed when the program starts: a command without bounds
or without a digest, a timer that nobody looks after, a table without a place of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from coord.core.base.bounds import Check
from coord.core.base.context import Context
from coord.core.base.limits import Limits
from coord.core.base.mixing import Mix, started
from coord.core.base.sentences import Case, Earlier, Sentence, Wording
from coord.core.base.timers import TimerKind
from coord.core.batch import Reply
from coord.core.sessions.tables import LetGo, Release
from coord.core.state import State

MakeTables = Callable[[Limits, Mapping[str, Any]], Any]
"""Makes the tables of a domain: an object whose `tables()` lists those with rows. It is given the
tables of the domains before it, by their names."""

Handler = Callable[[Context, Any, Any], Reply]
"""Checks a command first, and then changes the tables of its domain by steps that cannot fail."""

SessionHandler = Callable[[Context, Any, Any, int], Reply]
"""The same for the session that asks; 0: the request names none."""

Settle = Callable[[Context, Any, Any, int], None]
"""Brings up to date what a command names, so that its handler sees nothing overdue as valid."""

Due = Callable[[Context, Any, Any], None]
"""Carries out what a timer was set for; it is given the timer's ident."""

Rebuild = Callable[[Context, Any], None]
"""Makes what is derived from the rows of a snapshot."""


class Holding(NamedTuple):
    """How an ending session lets go of one kind: see `coord.core.sessions.tables.Release`."""

    let_go: LetGo
    by_key: bool


class Chore(NamedTuple):
    """What goes on over several entries because it is too much for one: each does a bounded part,
    and the ticker proposes entries while anything is pending. `go_on` does up to so many steps, and
    returns how many it did. Where it stands is replicated, and nobody sees a half. Chores go on in
    the order of their `place`."""

    place: int
    pending: Callable[[Any], bool]
    go_on: Callable[[Context, Any, int], int]


class DomainError(Exception):
    """The domains do not fit together: a mistake in the program, told when it starts."""


@dataclass(frozen=True, slots=True)
class Domain:
    """`check` raises InvariantViolation. `due` by the kinds of its timers, `holdings` by the kinds
    of what its sessions hold, `sentences` for what it alone refuses. `forget` takes away what was
    kept for long enough, within a budget of its own (from level 1 on). DomainError if a command
    lacks something."""

    name: str
    tables: MakeTables
    handlers: Mapping[type, Handler]
    bounds: Mapping[type, Check]
    digests: Mapping[type, Mix]
    rebuild: Rebuild
    check: Callable[[State], None]
    session_handlers: Mapping[type, SessionHandler] = field(default_factory=dict)
    settle: Mapping[type, Settle] = field(default_factory=dict)
    due: Mapping[int, Due] = field(default_factory=dict)
    holdings: Mapping[int, Holding] = field(default_factory=dict)
    sentences: Mapping[Case, Sentence] = field(default_factory=dict)
    earlier: Mapping[Case, Earlier] = field(default_factory=dict)
    chore: Chore | None = None
    forget: Rebuild | None = None

    def __post_init__(self) -> None:
        commands = self.commands
        self._none_missing("bounds", commands - self.bounds.keys())
        self._none_missing("digests", commands - self.digests.keys())
        self._none_missing("handlers", (self.bounds.keys() | self.settle.keys()) - commands)

    @property
    def commands(self) -> set[type]:
        """Every command that the domain carries out."""
        return {*self.handlers, *self.session_handlers}

    def _none_missing(self, what: str, missing: Iterable[type]) -> None:
        names = ", ".join(sorted(kind.__name__ for kind in missing))
        if names:
            raise DomainError(f"domain {self.name}: no {what} of {names}")


class Bound:
    """What a machine looks up of its domains, each with the tables that it works on."""

    __slots__ = ("chores", "due", "forget", "handlers", "session_handlers", "settle")

    def __init__(self) -> None:
        self.handlers: dict[type, tuple[Handler, Any]] = {}
        self.session_handlers: dict[type, tuple[SessionHandler, Any]] = {}
        self.settle: dict[type, tuple[Settle, Any]] = {}
        self.due: dict[int, tuple[Due, Any]] = {}
        self.chores: list[tuple[Chore, Any]] = []
        self.forget: list[tuple[Rebuild, Any]] = []


class Registry:
    """The domains of a machine. DomainError if two of them claim the same."""

    __slots__ = ("_mixers", "bounds", "domains", "wording")

    def __init__(self, domains: tuple[Domain, ...]) -> None:
        _check_distinct(domains, {})
        self.domains = domains
        self.bounds: dict[type, Check] = {}
        self.wording = Wording()
        digests: dict[type, Mix] = {}
        for domain in domains:
            self.bounds.update(domain.bounds)
            digests.update(domain.digests)
            self.wording.add(domain.sentences, domain.earlier)
        self._mixers = started(digests)

    def digest_of(self, command: Any) -> int:
        """A short number that differs for requests that ask for different things; never 0.

        It is kept beside the reply of a request, and beside an idempotency key, so that a sequence
        or a key that is used again with other content is noticed. It covers the meaning of a valid
        command, field by field, and not its bytes: encodings of equal messages differ between
        libraries. What a caller may change when it repeats a request is left out: how long a lock
        request waits, and everything of a claim but that it is one.

        CRC-32 finds mistakes, which is its purpose here; whoever forges an equal digest fools only
        his own session. A request is hashed once, at more than a gigabyte a second."""
        start, mix = self._mixers[type(command)]
        return mix(start, command) or 1

    def new_state(self, limits: Limits) -> State:
        """A state with empty tables."""
        parts: dict[str, Any] = {}
        for domain in self.domains:
            parts[domain.name] = domain.tables(limits, parts)
        state = State(Context(limits), parts)
        tables = state.tables()
        names, places = {one.name for one in tables}, {one.place for one in tables}
        if len(names) < len(tables) or len(places) < len(tables):
            raise DomainError("each table needs a name and a place of its own")
        return state

    def bind(self, state: State) -> Bound:
        """What the domains carry out on this state."""
        bound = Bound()
        releases: list[tuple[int, Release]] = []
        for domain in self.domains:
            tables = state.parts[domain.name]
            for command, handler in domain.handlers.items():
                bound.handlers[command] = (handler, tables)
            for command, session_handler in domain.session_handlers.items():
                bound.session_handlers[command] = (session_handler, tables)
            for command, settle in domain.settle.items():
                bound.settle[command] = (settle, tables)
            for kind, due in domain.due.items():
                bound.due[kind] = (due, tables)
            for kind, holding in domain.holdings.items():
                releases.append((int(kind), Release(holding.let_go, tables, holding.by_key)))
            if domain.chore is not None:
                bound.chores.append((domain.chore, tables))
            if domain.forget is not None:
                bound.forget.append((domain.forget, tables))
        bound.chores.sort(key=_place_of)
        state.session_tables.release_by(releases)
        return bound


def _place_of(chore: tuple[Chore, Any]) -> int:
    return chore[0].place


def check_domains(domains: Iterable[Domain], commands: Iterable[type]) -> None:
    """Raise DomainError unless every command and every timer belongs to exactly one domain. (The
    timers of retention have a queue of their own: `coord.core.tasks.retention`.)"""
    owners: dict[object, str] = {TimerKind.RETENTION: "tasks"}
    _check_distinct(domains, owners)
    for wanted in (*commands, *TimerKind):
        if wanted not in owners:
            raise DomainError(f"{wanted!r} is in no domain")


def _check_distinct(domains: Iterable[Domain], owners: dict[object, str]) -> None:
    """Note who owns each command, timer and kind of holdings."""
    for domain in domains:
        kinds = [("holdings", kind) for kind in domain.holdings]
        for one in (*domain.commands, *domain.due, *kinds):
            if one in owners:
                raise DomainError(f"{one!r} is in the domains {owners[one]} and {domain.name}")
            owners[one] = domain.name
