"""The registration of a domain: everything that one part of the state machine brings.

Whoever adds a primitive adds a folder with a `DOMAIN` to the core, and one line to
`coord.core.domains`. What is missing is noticed when the program starts: a command without bounds
or without a digest, a timer that nobody looks after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coord.core.base.bounds import Check
from coord.core.base.mixing import Mix, started
from coord.core.base.table import Table
from coord.core.base.timers import TimerKind
from coord.core.batch import Reply
from coord.core.state import State

Handler = Callable[[State, Any], Reply]
"""Checks a command first, and then changes the state by steps that cannot fail."""

SessionHandler = Callable[[State, Any, int], Reply]
"""The same for the session that asks; 0: the request names none."""

Settle = Callable[[State, Any, int], None]
"""Brings up to date what a command names, so that its handler sees nothing overdue as valid."""

Due = Callable[[State, Any], None]
"""Carries out what a timer was set for; it is given the timer's ident."""


class DomainError(Exception):
    """The domains do not fit together: a mistake in the program, told when it starts."""


@dataclass(frozen=True, slots=True)
class Domain:
    """`rebuild` makes what is derived from the rows of a snapshot; `check` raises
    InvariantViolation. `tables` makes the tables that the state does not have by itself: they are
    in its `added`, by their names, and in snapshots and digests behind the others. DomainError if a
    command lacks something."""

    name: str
    handlers: Mapping[type, Handler]
    bounds: Mapping[type, Check]
    digests: Mapping[type, Mix]
    rebuild: Callable[[State], None]
    check: Callable[[State], None]
    session_handlers: Mapping[type, SessionHandler] = field(default_factory=dict)
    settle: Mapping[type, Settle] = field(default_factory=dict)
    due: Mapping[TimerKind, Due] = field(default_factory=dict)
    tables: tuple[Callable[[], Table[Any, Any]], ...] = ()

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


class Registry:
    """What the machine looks up of its domains: by command, and by timer."""

    __slots__ = (
        "_mixers",
        "bounds",
        "domains",
        "due",
        "handlers",
        "session_handlers",
        "settle",
    )

    def __init__(self, domains: tuple[Domain, ...]) -> None:
        self.domains = domains
        self.handlers: dict[type, Handler] = {}
        self.session_handlers: dict[type, SessionHandler] = {}
        self.bounds: dict[type, Check] = {}
        self.settle: dict[type, Settle] = {}
        self.due: dict[TimerKind, Due] = {}
        digests: dict[type, Mix] = {}
        for domain in domains:
            self.handlers.update(domain.handlers)
            self.session_handlers.update(domain.session_handlers)
            self.bounds.update(domain.bounds)
            self.settle.update(domain.settle)
            self.due.update(domain.due)
            digests.update(domain.digests)
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

    def make_tables(self) -> list[Table[Any, Any]]:
        """New, empty tables of all domains."""
        return [make() for domain in self.domains for make in domain.tables]


def check_domains(domains: Iterable[Domain], commands: Iterable[type]) -> None:
    """Raise DomainError unless every command and every timer belongs to exactly one domain. (The
    timers of retention have a queue of their own: `coord.core.tasks.retention`.)"""
    owners: dict[object, str] = {TimerKind.RETENTION: "tasks"}
    for domain in domains:
        for one in (*domain.commands, *domain.due):
            if one in owners:
                raise DomainError(f"{one!r} is in the domains {owners[one]} and {domain.name}")
            owners[one] = domain.name
    for wanted in (*commands, *TimerKind):
        if wanted not in owners:
            raise DomainError(f"{wanted!r} is in no domain")
