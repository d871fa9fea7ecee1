"""Which requests make the state larger. Those are refused first when there is too much of
something; what ends work or frees room goes on."""

from __future__ import annotations

from coord.core.batch import Command
from coord.core.kv.commands import KvOp, KvPut, KvTxn
from coord.core.tasks.commands import SubmitTasks


def grows(command: Command) -> bool:
    """Whether carrying it out may leave more payload behind than there was. Sessions and locks do
    not count: without a session nobody could complete or delete anything."""
    match command:
        case SubmitTasks() | KvPut():
            return True
        case KvTxn():
            return any(map(_op_grows, (*command.success, *command.failure)))
        case _:
            return False


def _op_grows(op: KvOp) -> bool:
    return isinstance(op, KvPut) or (isinstance(op, KvTxn) and grows(op))
