"""The registration of a domain: everything that one part of the state machine brings.

Whoever adds a primitive adds a folder with a `DOMAIN` to the core, and one line to
`coord.core.domains`. What is missing is noticed when the program starts: a command without bounds
or without a digest, a timer that nobody looks after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coord.core.base.bounds import Check
from coord.core.base.mixing import Mix
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
    InvariantViolation. DomainError if a command lacks something."""

    name: str
    handlers: Mapping[type, Handler]
    bounds: Mapping[type, Check]
    digests: Mapping[type, Mix]
    rebuild: Callable[[State], None]
    check: Callable[[State], None]
    session_handlers: Mapping[type, SessionHandler] = field(default_factory=dict)
    settle: Mapping[type, Settle] = field(default_factory=dict)
    due: Mapping[TimerKind, Due] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._same("bounds", self.bounds.keys(), self.commands)
        self._has("digests", self.commands - self.digests.keys())
        self._has("handlers", self.settle.keys() - self.commands)

    @property
    def commands(self) -> set[type]:
        """Every command that the domain carries out."""
        return {*self.handlers, *self.session_handlers}

    def _same(self, what: str, given: Iterable[type], wanted: set[type]) -> None:
        self._has(what, wanted - set(given))
        self._has("handlers", set(given) - wanted)

    def _has(self, what: str, missing: Iterable[type]) -> None:
        names = ", ".join(sorted(kind.__name__ for kind in missing))
        if names:
            raise DomainError(f"domain {self.name}: no {what} of {names}")


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
