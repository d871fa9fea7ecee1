"""How commands refuse."""

from __future__ import annotations

from typing import NoReturn

import typer


def fail(message: str) -> NoReturn:
    """One line on stderr, exit 2."""
    typer.echo(f"chaos: {message}", err=True)
    raise typer.Exit(2)
