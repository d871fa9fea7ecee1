"""The `chaos` command. Exit codes: 0 valid, 1 invalid, 2 unknown, bad usage or harness failure."""

from __future__ import annotations

import sys
import traceback

import typer

from chaos.commands import check, matrix, run, selftest, sim
from coord.terminal.interrupts import take_interrupts

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)


@app.callback()
def root() -> None:
    """Check the promises of a coordination store."""


for command in (check, matrix, run, selftest, sim):
    command.register(app)


def main() -> None:
    """Entry point of the console script. A failure of the harness itself is no verdict: exit 2."""
    take_interrupts()
    try:
        app()
    except Exception:
        traceback.print_exc()
        sys.exit(2)
