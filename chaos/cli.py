"""The `chaos` command. Exit codes: 0 valid, 1 invalid, 2 unknown, bad usage or harness failure."""

from __future__ import annotations

import sys
import tempfile
import traceback
from importlib import metadata
from typing import Annotated

import typer

from chaos.commands import check, matrix, run, selftest, sim
from coord.terminal.entry import (
    INTERRUPTED,
    USAGE,
    WrongUsageError,
    complain,
    leave_a_broken_pipe,
    run_app,
)
from coord.terminal.help import PlainGroup
from coord.terminal.interrupts import take_interrupts
from coord.terminal.text import gist, os_reason

HARNESS_FAILED = 2

app = typer.Typer(
    name="chaos",
    cls=PlainGroup,
    help="Break a cluster on purpose, and judge what its clients saw.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chaos {metadata.version('coord-store')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Break a cluster on purpose, and judge what its clients saw.

    Exit codes: 0 valid, 1 invalid, 2 unknown, wrong usage or a failure of the harness."""


for command in (run, check, matrix, sim, selftest):
    command.register(app)


def main() -> None:
    """Entry point of the console script. A failure of the harness itself is no verdict: exit 2."""
    take_interrupts()
    sys.exit(_run())


def _run() -> int:
    try:
        return run_app(app, "chaos")
    except WrongUsageError as error:
        complain(str(error))
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        leave_a_broken_pipe()
    except OSError as error:
        complain(os_reason(error))
    except Exception as error:
        what = f"{type(error).__name__}: {gist(str(error))}"
        complain(f"the harness failed: {what}; the traceback is in {_keep_traceback()}")
    return HARNESS_FAILED


def _keep_traceback() -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="chaos-failure-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exc(file=file)
    return file.name
