"""The first half of a transaction: which branch is taken, and may every step of it be carried out.

As in etcd, all comparisons, also those of nested transactions, look at the state before the
transaction, and so do the checks. What comes out is a plan whose steps cannot fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, assert_never

from coord.core.base.invariants import InvariantViolation
from coord.core.base.refusal import Rejected
from coord.core.kv.budget import Budget
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KeyValue,
    KvCompare,
    KvDelete,
    KvNothing,
    KvOp,
    KvPut,
    KvRange,
    KvTxn,
)
from coord.core.kv.draft import Draft
from coord.core.kv.reads import interval, rows_in

_NO_KEY: Final = KeyValue(b"", b"", 0, 0, 0, 0)


@dataclass(slots=True)
class Plan:
    """One branch of a transaction, with the branches of nested transactions already taken."""

    succeeded: bool
    steps: list[Step]


Step = KvRange | KvPut | KvDelete | Plan


def rows_named(draft: Draft, txn: KvTxn, weight: int) -> int:
    """The rows that a transaction names, whatever its comparisons say: those of the comparisons and
    of the larger branch. A written row counts `weight`. Costs two searches an interval."""
    compared = sum([rows_in(draft, one.key, one.range_end) for one in txn.compare])
    success = sum([_rows_of(draft, op, weight) for op in txn.success])
    failure = sum([_rows_of(draft, op, weight) for op in txn.failure])
    return compared + max(success, failure)


def _rows_of(draft: Draft, op: KvOp, weight: int) -> int:
    match op:
        case KvPut():
            return weight
        case KvDelete():
            return weight * rows_in(draft, op.key, op.range_end)
        case KvRange():
            if op.count_only:
                return 1
            rows = rows_in(draft, op.key, op.range_end)
            return min(op.limit, rows) if op.limit > 0 else rows
        case KvTxn():
            return rows_named(draft, op, weight)
        case KvNothing():
            return 0
        case _:
            assert_never(op)


def plan(draft: Draft, txn: KvTxn, budget: Budget) -> Plan:
    """Choose by the comparisons. Raises OverBudgetError."""
    succeeded = all(holds(draft, compare, budget) for compare in txn.compare)
    branch = txn.success if succeeded else txn.failure
    return Plan(succeeded, [_step(draft, op, budget) for op in branch])


def _step(draft: Draft, op: KvOp, budget: Budget) -> Step:
    if isinstance(op, KvTxn):
        return plan(draft, op, budget)
    if isinstance(op, KvNothing):
        raise InvariantViolation("a transaction was validated", op)
    return op


def first_refusal(
    chosen: Plan, check: Callable[[KvRange | KvPut | KvDelete], Rejected | None]
) -> Rejected | None:
    """What `check` says of the first step that it refuses, or None."""
    for step in chosen.steps:
        refused = first_refusal(step, check) if isinstance(step, Plan) else check(step)
        if refused is not None:
            return refused
    return None


def holds(draft: Draft, compare: KvCompare, budget: Budget) -> bool:
    """Whether one comparison holds, for every key of its interval if it has one.

    A key that does not exist has version and revisions 0 and no value at all: every comparison
    of its value fails."""
    if compare.range_end:
        low, high = interval(compare.key, compare.range_end)
        budget.look_at(max(1, draft.count(low, high)))
        found = list(draft.between(low, high))
    else:
        budget.look_at(1)
        kv = draft.get(compare.key)
        found = [] if kv is None else [kv]
    if found:
        return all(_compare(kv, compare) for kv in found)
    return compare.target is not CompareTarget.VALUE and _compare(_NO_KEY, compare)


def _compare(kv: KeyValue, compare: KvCompare) -> bool:
    actual, operand = _actual(kv, compare.target), compare.operand
    match compare.result:
        case CompareResult.EQUAL:
            return bool(actual == operand)
        case CompareResult.NOT_EQUAL:
            return bool(actual != operand)
        case CompareResult.GREATER:
            return bool(actual > operand)
        case CompareResult.LESS:
            return bool(actual < operand)
        case _:
            assert_never(compare.result)


def _actual(kv: KeyValue, target: CompareTarget) -> Any:
    match target:
        case CompareTarget.VERSION:
            return kv.version
        case CompareTarget.CREATE:
            return kv.create_revision
        case CompareTarget.MOD:
            return kv.mod_revision
        case CompareTarget.VALUE:
            return kv.value
        case CompareTarget.LEASE:
            return kv.lease
        case _:
            assert_never(target)
