"""Why an attempt, or a task, ended without its worker saying so.

From level 2 on a task holds the cause, and `last_error` is the user's own text. Up to level 1 the
sentence stands there, so its words must not change before level 1 is given up."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from coord.core.base.context import Context
from coord.core.base.holdings import SessionEnd
from coord.core.tasks.records import Task


class Cause(IntEnum):
    """The numbers are stored: they are never used anew."""

    SESSION_EXPIRED = 1
    SESSION_CLOSED = 2
    NO_HEARTBEAT = 3  # within so many milliseconds
    ATTEMPT_TIMEOUT = 4  # of so many milliseconds
    NO_PROGRESS = 5  # for so many milliseconds
    TOTAL_TIMEOUT = 6  # of so many milliseconds
    QUEUE_DELETED = 7


_TOTAL_TIMEOUT: Final = "total time-out"
_SENTENCES: Final = {
    Cause.SESSION_EXPIRED: "session expired",
    Cause.SESSION_CLOSED: "session closed",
    Cause.NO_HEARTBEAT: "no heartbeat for {} ms",
    Cause.ATTEMPT_TIMEOUT: "attempt time-out of {} ms is over",
    Cause.NO_PROGRESS: "no progress for {} ms",
    Cause.TOTAL_TIMEOUT: _TOTAL_TIMEOUT + " of {} ms is over",
    Cause.QUEUE_DELETED: "its queue was deleted",
}
_OF_SESSION_END: Final = {
    SessionEnd.EXPIRED: Cause.SESSION_EXPIRED,
    SessionEnd.CLOSED: Cause.SESSION_CLOSED,
}


def cause_of(end: SessionEnd) -> Cause:
    """Why the tasks of an ended session are without a worker."""
    return _OF_SESSION_END[end]


def note_cause(ctx: Context, task: Task, cause: Cause, value_ms: int = 0) -> None:
    """The task has failed, or ended, for this; `task` comes from `edit`."""
    if ctx.level < 2:
        task.last_error = _in_words(int(cause), value_ms)
        return
    task.cause = (int(cause), value_ms)
    task.last_error = ""


def note_error(task: Task, error: str) -> None:
    """Its worker, or whoever cancelled it, said so; `task` comes from `edit`."""
    task.last_error = error
    task.cause = None


def error_text(task: Task) -> str:
    """Why the last attempt, or the task, failed, as it is shown; empty if it did not."""
    return task.last_error if task.cause is None else _in_words(*task.cause)


def is_total_timeout(task: Task) -> bool:
    """Whether its total time-out ended it."""
    if task.cause is None:
        return task.last_error.startswith(_TOTAL_TIMEOUT)
    return task.cause[0] == Cause.TOTAL_TIMEOUT


def _in_words(cause: int, value_ms: int) -> str:
    return _SENTENCES[Cause(cause)].format(value_ms)
