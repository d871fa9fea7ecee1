"""The registration of domains: what is missing is noticed when the program starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest

from coord.codec.kinds import COMMAND_CLASS
from coord.core.base.request import Done
from coord.core.base.timers import TimerKind
from coord.core.batch import Command
from coord.core.domain import Domain, DomainError, check_domains
from coord.core.domains import DOMAINS
from coord.core.locks.domain import LOCKS
from coord.core.state import State


@dataclass(slots=True)
class Count:
    """A command of a domain that the product does not have."""

    name: str


def handle(state: State, command: Count) -> Done:
    return Done(state.next_revision())


def nothing(state: State) -> None:
    pass


def counters(**changes: Any) -> Domain:
    members: dict[str, Any] = {
        "handlers": {Count: handle},
        "bounds": {Count: lambda command, level: None},
        "digests": {Count: lambda crc, command: crc},
        "rebuild": nothing,
        "check": nothing,
    }
    return Domain("counters", **{**members, **changes})


def test_a_domain_is_whole() -> None:
    assert counters().commands == {Count}


@pytest.mark.parametrize(
    ("member", "given", "missing"),
    [
        ("bounds", {}, "no bounds of Count"),
        ("digests", {}, "no digests of Count"),
        ("handlers", {}, "no handlers of Count"),
        ("settle", {Done: nothing}, "no handlers of Done"),
    ],
)
def test_what_a_command_lacks_is_told(member: str, given: dict[type, Any], missing: str) -> None:
    with pytest.raises(DomainError, match=f"domain counters: {missing}"):
        counters(**{member: given})


def test_every_command_and_every_timer_has_a_domain() -> None:
    check_domains(DOMAINS, get_args(Command))
    with pytest.raises(DomainError, match=r"Count'> is in no domain"):
        check_domains(DOMAINS, (*get_args(Command), Count))
    without = [replace(one, due={}) if one is LOCKS else one for one in DOMAINS]
    with pytest.raises(DomainError, match=r"TimerKind.LOCK: 2> is in no domain"):
        check_domains(without, get_args(Command))


def test_nothing_belongs_to_two_domains() -> None:
    with pytest.raises(DomainError, match="is in the domains counters and again"):
        check_domains([counters(), replace(counters(), name="again")], [Count])
    with pytest.raises(DomainError, match="in the domains tasks and counters"):
        check_domains([counters(due={TimerKind.RETENTION: nothing})], [Count])


def test_every_command_of_the_domains_has_a_number_in_the_log() -> None:
    commands = {command for domain in DOMAINS for command in domain.commands}
    assert commands == set(COMMAND_CLASS.values())


def test_domains_have_names_of_their_own() -> None:
    assert len({domain.name for domain in DOMAINS}) == len(DOMAINS)
