"""Exceptions of the worker runtime: those a handler raises, those it sees, and those of a start."""

from __future__ import annotations

from typing import Final

MAX_RETRY_MS: Final = 366 * 86_400_000  # as long as the store lets anything wait


class PermanentError(Exception):
    """Raise it in a handler when another attempt cannot help: the task is dead at once."""


class RetryLater(Exception):  # noqa: N818 - reads as the instruction it is
    """Raise it in a handler to end this attempt and ask for the next one after `after_ms`."""

    def __init__(self, after_ms: int, message: str = "") -> None:
        if isinstance(after_ms, bool) or not isinstance(after_ms, int):
            raise TypeError(f"after_ms must be an integer, not {type(after_ms).__name__}")
        if not 0 <= after_ms <= MAX_RETRY_MS:
            raise ValueError(f"after_ms must be 0 to {MAX_RETRY_MS}, not {after_ms}")
        super().__init__(message or f"the handler asked to be tried again in {after_ms} ms")
        self.after_ms = after_ms


class TaskCancelledError(Exception):
    """The attempt was given up: its lease is lost, its time is over, or the worker is leaving.

    A handler may clean up and save a checkpoint, and must not start further side effects."""


class UnfinishedSideEffectError(Exception):
    """An earlier attempt announced this side effect and never said how it ended.

    It may have happened or not; only the outside world knows. Find out, or call `once` with
    `repeatable=True` where doing it twice does no harm."""

    def __init__(self, name: str, attempt: int) -> None:
        super().__init__(
            f"side effect {name!r} was begun by attempt {attempt} and its outcome is not recorded"
        )
        self.name = name
        self.attempt = attempt


class SideEffectNotDoneError(Exception):
    """Raise it inside `once` when the effect certainly did not happen: it may be tried again."""


class LoadError(Exception):
    """A registry could not be loaded; the message says which and why."""


class WorkerRefusedError(Exception):
    """The cluster refuses what this worker asks for, so going on makes no sense. Definite."""


class ClusterUnreachableError(Exception):
    """No node answered within the time allowed for the first contact."""
