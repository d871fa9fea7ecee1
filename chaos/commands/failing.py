"""How commands refuse."""

from __future__ import annotations

from typing import NoReturn

import typer

from coord.terminal.entry import USAGE, complain


def fail(message: str) -> NoReturn:
    """One line on stderr, exit 2."""
    complain(message)
    raise typer.Exit(USAGE)
