"""Exit codes of `coord`, and which error leads to which."""

from __future__ import annotations

from coord.client.transport.errors import CoordError, DefiniteError, NoLeaderError, UnavailableError
from coord.terminal import entry

OK = 0
REFUSED = 1  # refused, failed or not found
USAGE = entry.USAGE
UNREACHABLE = 3
INTERRUPTED = entry.INTERRUPTED


class CommandError(Exception):
    """Ends a command with one line on standard error."""

    def __init__(self, message: str, code: int = REFUSED) -> None:
        super().__init__(message)
        self.code = code


def explain(error: CoordError) -> CommandError:
    """The line and the exit code for an error of the client."""
    message = str(error) or type(error).__name__
    if error.reason and error.reason not in message:
        message = f"{message} ({error.reason})"
    if isinstance(error, NoLeaderError | UnavailableError):
        return CommandError(message, UNREACHABLE)
    if isinstance(error, DefiniteError):
        return CommandError(message, REFUSED)
    if error.definite:  # a read, which has no outcome beside its answer
        return CommandError(message, UNREACHABLE)
    return CommandError(f"{message}; it may have happened nevertheless", UNREACHABLE)
