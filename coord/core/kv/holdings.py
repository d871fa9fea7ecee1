"""Bounds on how many keys there may be (from level 1 on)."""

from __future__ import annotations

from coord.core.base.context import Context
from coord.core.base.refusal import Rejected, limit_exceeded
from coord.core.batch import Command
from coord.core.kv.commands import KvOp, KvPut, KvTxn
from coord.core.kv.store import KvStore


def check_new_keys(ctx: Context, tables: KvStore, command: Command) -> Rejected | None:
    """Why a put, or a transaction that may put, is refused for the keys there are, or None."""
    limit, keys = ctx.limits.max_keys, len(tables)
    if keys + ctx.limits.max_txn_ops <= limit:
        return None
    if isinstance(command, KvPut):
        new = 0 if keys < limit or tables.has(command.key) else 1
    elif isinstance(command, KvTxn):
        new = _puts(command)
    else:
        new = 0
    return limit_exceeded("keys", limit) if new and keys + new > limit else None


def _puts(txn: KvTxn) -> int:
    """Of the branch that has more of them, as if every key were new."""
    return max(_puts_in(txn.success), _puts_in(txn.failure))


def _puts_in(steps: list[KvOp]) -> int:
    count = 0
    for step in steps:
        if isinstance(step, KvPut):
            count += 1
        elif isinstance(step, KvTxn):
            count += _puts(step)
    return count
