"""How a handler ended, as a value: nothing a handler raises travels through the worker."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from agentnode.errors import MAX_RETRY_MS, PermanentError, RetryLater, TaskCancelledError

# The store takes 16 KiB; an error is for reading.
MAX_ERROR_BYTES = 8_192
_TRACEBACK_FRAMES = 8
# Looked at to find those: a recursion without end has very many.
_FRAMES_LOOKED_AT = 64
_OWN_DIRECTORY = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Done:
    """The handler returned; `result` is to be committed."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed."""

    error: str
    retryable: bool = True
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The handler stopped because it was told to."""


@dataclass(frozen=True, slots=True)
class Unhandled:
    """This worker has no handler for the task; another one may have it."""

    reason: str


Outcome = Done | Failed | Stopped | Unhandled


def from_exception(error: BaseException, permanent: tuple[type[BaseException], ...]) -> Outcome:
    """What an exception out of a handler means. Unknown ones are worth another attempt.

    Never raises: the exception may be of any class, and its methods may raise themselves."""
    try:
        return _meaning(error, permanent)
    except BaseException as second:
        return Failed(
            f"the handler raised {_type_name(error)}, which cannot be described"
            f" (that raised {_type_name(second)})"
        )


def _meaning(error: BaseException, permanent: tuple[type[BaseException], ...]) -> Outcome:
    match error:
        case TaskCancelledError():
            return Stopped()
        case RetryLater():
            return _retry_later(error)
        case PermanentError():
            return Failed(describe(error), retryable=False)
        case _:
            return Failed(describe(error), retryable=not isinstance(error, permanent))


def _retry_later(error: RetryLater) -> Failed:
    after_ms = error.after_ms
    if type(after_ms) is not int or not 0 <= after_ms <= MAX_RETRY_MS:
        return Failed(bounded(f"RetryLater needs after_ms of 0 to {MAX_RETRY_MS} as an integer"))
    return Failed(bounded(text_of(error)), retryable=True, retry_after_ms=after_ms)


def describe(error: BaseException) -> str:
    """Type, message and the innermost frames outside of this package, as text of bounded size."""
    head = f"{_type_name(error)}: {text_of(error)}"
    return bounded(f"{head}\n{_frames(error)}".rstrip())


def text_of(error: BaseException) -> str:
    """The message of an exception, of bounded size; says so when there is none to be had."""
    try:
        # `str` may give a subclass with methods of its own; slices of that are plain texts.
        return str.__getitem__(str(error), slice(MAX_ERROR_BYTES))
    except BaseException as second:
        return f"(its text cannot be had: that raised {_type_name(second)})"


def _frames(error: BaseException) -> str:
    try:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__, limit=-_FRAMES_LOOKED_AT)
            if Path(frame.filename).parent != _OWN_DIRECTORY
        ]
        return "".join(traceback.format_list(frames[-_TRACEBACK_FRAMES:]))
    except BaseException:
        return ""  # source lines come from loaders, which may be anybody's


def _type_name(error: BaseException) -> str:
    name = type.__getattribute__(type(error), "__name__")
    return str(name)[:200]


def bounded(text: str, limit: int = MAX_ERROR_BYTES) -> str:
    """At most `limit` bytes of UTF-8 of this text, whole characters only."""
    data = text[: limit + 1].encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode("utf-8", "ignore") + "..."
