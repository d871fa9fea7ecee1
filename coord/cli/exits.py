"""Exit codes of `coord`, and which error leads to which."""

from __future__ import annotations

from coord.client.errors import CoordError, DefiniteError, NoLeaderError, UnavailableError

OK = 0
REFUSED = 1  # refused, failed or not found
USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130  # as shells report SIGINT


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
    return CommandError(f"{message}; it may have happened nevertheless", UNREACHABLE)
