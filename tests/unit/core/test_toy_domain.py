"""A domain that the product does not have: counters. It is added by a list, without an edit of the
product, and gets deduplication, settling, snapshots, digests and checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from coord.core.base.build import COMPILED
from coord.core.base.context import Context
from coord.core.base.invariants import InvariantViolation, invariant
from coord.core.base.mixing import mix_plain
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import Done, RequestId
from coord.core.base.table import GivenRow, Row, SnapshotFormatError, Table
from coord.core.batch import Batch, Reply, Request
from coord.core.checks import check_state
from coord.core.cluster.commands import RaiseLevel
from coord.core.domain import Domain
from coord.core.domains import DOMAINS
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession, SessionOpened
from coord.core.state import State

pytestmark = pytest.mark.skipif(COMPILED, reason="the compiled core takes its own commands only")


@dataclass(slots=True)
class Count:
    name: str
    by: int


def count(ctx: Context, counters: Table[str, int], command: Count) -> Reply:
    revision = ctx.next_revision()
    if command.name in counters:
        counters.replace(command.name, counters[command.name] + command.by)
    else:
        counters.insert(command.name, command.by)
    return Done(revision)


def within(command: Any, level: int) -> Rejected | None:
    if command.by > 0:
        return None
    return Rejected(Reason.INVALID_ARGUMENT, f"by is {command.by}; allowed is 1 and up")


def check(state: State) -> None:
    for name, value in state.parts["counters"].items():
        invariant(value > 0, "a counter only grows", name)


def encode(name: str, value: int) -> Row:
    return (name, value)


def decode(row: GivenRow) -> tuple[str, int]:
    return row[0], row[1]


settled: list[str] = []
COUNTERS = Domain(
    "counters",
    handlers={Count: count},
    bounds={Count: within},
    digests={Count: lambda crc, command: mix_plain(crc, (command.name, command.by))},
    settle={Count: lambda ctx, tables, command, session_id: settled.append(command.name)},
    rebuild=lambda ctx, tables: None,
    check=check,
    tables=lambda limits, parts: Table("counters", encode, decode, place=1_000),
)
WITH_COUNTERS = (*DOMAINS, COUNTERS)


def machine() -> Machine:
    made = Machine(domains=WITH_COUNTERS)
    made.apply(Batch(1, 1, [Request(RaiseLevel(1))]))
    return made


def rows_of(source: Machine) -> list[tuple[str, Row]]:
    view, rows = source.freeze(), []
    while (some := view.next_rows(100)) is not None:
        rows += some
    view.close()
    return rows


def do(target: Machine, *commands: Any) -> list[Reply]:
    return target.apply(Batch(1, 1, [Request(one) for one in commands])).replies


def test_it_is_carried_out_and_bounded() -> None:
    counting = machine()
    replies = do(counting, Count("a", 2), Count("a", 3), Count("b", 0))
    assert replies[:2] == [Done(1), Done(2)]
    assert isinstance(replies[2], Rejected)
    assert dict(counting.state.parts["counters"].items()) == {"a": 5}


def test_a_repeated_request_counts_once_and_another_one_is_told_apart() -> None:
    counting = machine()
    (opened,) = do(counting, OpenSession(60_000, b"n"))
    assert isinstance(opened, SessionOpened)
    same = RequestId(opened.session_id, 1, 0)
    requests = [Request(Count("a", 2), same), Request(Count("a", 2), same)]  # type: ignore[arg-type]
    first, again = counting.apply(Batch(2, 2, requests)).replies
    assert first == again
    (other,) = counting.apply(Batch(2, 2, [Request(Count("a", 9), same)])).replies  # type: ignore[arg-type]
    assert isinstance(other, Rejected)
    assert other.reason is Reason.SEQUENCE_REUSED
    assert counting.state.parts["counters"]["a"] == 2


def test_what_it_names_is_settled_when_something_is_overdue() -> None:
    counting = machine()
    settled.clear()
    do(counting, Count("a", 1))
    assert settled == []
    counting.state.ctx.limits = type(counting.state.limits)(max_expiries_per_batch=0)
    do(counting, Count("a", 1))
    assert settled == ["a"]


def test_it_is_in_snapshots_and_digests() -> None:
    counting = machine()
    before = counting.digest()
    do(counting, Count("a", 2), Count("b", 1))
    assert counting.digest() != before
    rows = rows_of(counting)
    assert ("counters", ("a", 2)) in rows
    restored = Machine.from_rows(rows, domains=WITH_COUNTERS)
    assert restored.digest() == counting.digest()
    assert do(restored, Count("a", 1)) == do(counting, Count("a", 1))
    assert restored.digest() == counting.digest()


def test_a_build_without_it_refuses_its_rows() -> None:
    counting = machine()
    do(counting, Count("a", 2))
    with pytest.raises(SnapshotFormatError, match="unknown table 'counters'"):
        Machine.from_rows(rows_of(counting))


def test_its_invariants_are_checked() -> None:
    counting = machine()
    do(counting, Count("a", 2))
    check_state(counting.state, WITH_COUNTERS)
    counting.state.parts["counters"].replace("a", -1)
    with pytest.raises(InvariantViolation, match="a counter only grows"):
        check_state(counting.state, WITH_COUNTERS)
