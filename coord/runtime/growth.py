"""Which requests make the state larger. Those are refused first when there is too much of
something; what ends work or frees room goes on."""

from __future__ import annotations

from coord.core import commands as c


def grows(command: c.Command) -> bool:
    """Whether carrying it out may leave more payload behind than there was. Sessions and locks do
    not count: without a session nobody could complete or delete anything."""
    match command:
        case c.SubmitTasks() | c.KvPut():
            return True
        case c.KvTxn():
            return any(map(_op_grows, (*command.success, *command.failure)))
        case _:
            return False


def _op_grows(op: c.KvOp) -> bool:
    return isinstance(op, c.KvPut) or (isinstance(op, c.KvTxn) and grows(op))
