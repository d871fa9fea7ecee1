"""How a command ends: every error one line on standard error, and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from coord.terminal.text import printable

USAGE = 2
INTERRUPTED = 130  # as shells report SIGINT

# Typer brings its own copy of the classes that stand for wrong usage; this is their root.
_PARSER_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


class WrongUsageError(Exception):
    """The command line was not understood; the message is one line."""


def run_app(app: typer.Typer, name: str) -> int:
    """Run the command that the arguments of this process name; the exit code it asks for.

    Raises WrongUsageError, and what the command raises."""
    try:
        code = app(prog_name=name, standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except _PARSER_ERROR as error:
        if _is_help(error):
            return USAGE
        raise WrongUsageError(_usage_line(error)) from None
    return code if isinstance(code, int) else 0


def complain(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"error: {printable(message)}\n")


def leave_a_broken_pipe() -> None:
    """The reader of the output has left; Python must not complain about it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_help(error: Any) -> bool:
    """A group without a command shows its help, which is no complaint."""
    if type(error).__name__ != "NoArgsIsHelpError":
        return False
    error.show()
    return True


def _usage_line(error: Any) -> str:
    message = " ".join(str(error.format_message()).split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    return message if context is None else f"{message}; see '{context.command_path} --help'"
