"""The registration of domains: what is missing is noticed when the program starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import pytest

from coord.codec.kinds import COMMAND_CLASS
from coord.core.base.context import Context
from coord.core.base.holdings import HoldingKind
from coord.core.base.limits import LIMITS, Limits
from coord.core.base.request import Done
from coord.core.base.table import Table
from coord.core.base.timers import TimerKind
from coord.core.batch import Command
from coord.core.domain import Domain, DomainError, Holding, Registry, check_domains
from coord.core.domains import DOMAINS
from coord.core.locks.domain import LOCKS


@dataclass(slots=True)
class Count:
    """A command of a domain that the product does not have."""

    name: str


def handle(ctx: Context, tables: Any, command: Count) -> Done:
    return Done(ctx.next_revision())


def nothing(*_: Any) -> None:
    pass


def no_tables(limits: Limits, parts: Mapping[str, Any]) -> Table[str, int]:
    return Table("counters", lambda key, value: (key, value), lambda row: (row[0], row[1]), 1_000)


def counters(**changes: Any) -> Domain:
    members: dict[str, Any] = {
        "tables": no_tables,
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


def test_a_machine_takes_no_two_domains_that_claim_the_same() -> None:
    with pytest.raises(DomainError, match="is in the domains counters and again"):
        Registry((*DOMAINS, counters(), replace(counters(), name="again")))
    holding = {HoldingKind.TASK: Holding(nothing, by_key=True)}
    with pytest.raises(DomainError, match="in the domains tasks and counters"):
        Registry((*DOMAINS, counters(holdings=holding)))


def test_every_table_has_a_name_and_a_place_of_its_own() -> None:
    twice = replace(counters(), name="again", handlers={}, bounds={}, digests={})
    with pytest.raises(DomainError, match="a name and a place"):
        Registry((*DOMAINS, counters(), twice)).new_state(LIMITS)


def test_every_command_of_the_domains_has_a_number_in_the_log() -> None:
    commands = {command for domain in DOMAINS for command in domain.commands}
    assert commands == set(COMMAND_CLASS.values())


def test_domains_have_names_of_their_own() -> None:
    assert len({domain.name for domain in DOMAINS}) == len(DOMAINS)
