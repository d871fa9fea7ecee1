"""How a handler ended, as a value: nothing a handler raises travels through the worker."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from agentnode.errors import PermanentError, RetryLater, TaskCancelledError

# The store takes 16 KiB; an error is for reading.
MAX_ERROR_BYTES = 8_192
_TRACEBACK_FRAMES = 8
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


Outcome = Done | Failed | Stopped


def from_exception(error: BaseException, permanent: tuple[type[BaseException], ...]) -> Outcome:
    """What an exception out of a handler means. Unknown ones are worth another attempt."""
    match error:
        case TaskCancelledError():
            return Stopped()
        case RetryLater():
            return Failed(str(error), retryable=True, retry_after_ms=error.after_ms)
        case PermanentError():
            return Failed(describe(error), retryable=False)
        case _:
            return Failed(describe(error), retryable=not isinstance(error, permanent))


def describe(error: BaseException) -> str:
    """Type, message and the innermost frames outside of this package, as text of bounded size."""
    head = f"{type(error).__name__}: {error}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent != _OWN_DIRECTORY
    ]
    lines = traceback.format_list(frames[-_TRACEBACK_FRAMES:])
    return bounded(f"{head}\n{''.join(lines)}".rstrip())


def bounded(text: str, limit: int = MAX_ERROR_BYTES) -> str:
    """At most `limit` bytes of UTF-8 of this text, whole characters only."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - 3].decode("utf-8", "ignore") + "..."
