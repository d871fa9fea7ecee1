"""The first half of a transaction: which branch is taken, and may every step of it be carried out.

As in etcd, all comparisons, also those of nested transactions, look at the state before the
transaction, and so do the checks. What comes out is a plan whose steps cannot fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, assert_never

from coord.core import commands as c
from coord.core.kv_read import Live, select
from coord.core.replies import KeyValue, Rejected

_NO_KEY: Final = KeyValue(b"", b"", 0, 0, 0, 0)


@dataclass(slots=True)
class Plan:
    """One branch of a transaction, with the branches of nested transactions already taken."""

    succeeded: bool
    steps: list[Step]


Step = c.KvRange | c.KvPut | c.KvDelete | Plan


def plan(live: Live, txn: c.KvTxn) -> Plan:
    """Choose by the comparisons."""
    succeeded = all(holds(live, compare) for compare in txn.compare)
    branch = txn.success if succeeded else txn.failure
    return Plan(succeeded, [plan(live, op) if isinstance(op, c.KvTxn) else op for op in branch])


def first_refusal(
    chosen: Plan, check: Callable[[c.KvRange | c.KvPut | c.KvDelete], Rejected | None]
) -> Rejected | None:
    """What `check` says of the first step that it refuses, or None."""
    for step in chosen.steps:
        refused = first_refusal(step, check) if isinstance(step, Plan) else check(step)
        if refused is not None:
            return refused
    return None


def holds(live: Live, compare: c.KvCompare) -> bool:
    """Whether one comparison holds, for every key of its interval if it has one.

    A key that does not exist has version and revisions 0 and no value at all: every comparison
    of its value fails."""
    found = False
    for kv in select(live, compare):
        found = True
        if not _compare(kv, compare):
            return False
    if found:
        return True
    return compare.target is not c.CompareTarget.VALUE and _compare(_NO_KEY, compare)


def _compare(kv: KeyValue, compare: c.KvCompare) -> bool:
    actual, operand = _actual(kv, compare.target), compare.operand
    match compare.result:
        case c.CompareResult.EQUAL:
            return bool(actual == operand)
        case c.CompareResult.NOT_EQUAL:
            return bool(actual != operand)
        case c.CompareResult.GREATER:
            return bool(actual > operand)
        case c.CompareResult.LESS:
            return bool(actual < operand)
        case _:
            assert_never(compare.result)


def _actual(kv: KeyValue, target: c.CompareTarget) -> Any:
    match target:
        case c.CompareTarget.VERSION:
            return kv.version
        case c.CompareTarget.CREATE:
            return kv.create_revision
        case c.CompareTarget.MOD:
            return kv.mod_revision
        case c.CompareTarget.VALUE:
            return kv.value
        case c.CompareTarget.LEASE:
            return kv.lease
        case _:
            assert_never(target)
