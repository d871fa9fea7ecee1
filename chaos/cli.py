"""The `chaos` command. Exit codes: 0 valid, 1 invalid, 2 unknown, bad usage or harness failure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from chaos.checkers.linearizable import Bounds, KeyVerdict, LinearizableVerdict, Verdict, check
from chaos.checkers.models import MODELS
from chaos.history import HistoryError, Operation, operations, read_history

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
EXIT_CODE: dict[Verdict, int] = {True: 0, False: 1, "unknown": 2}
VERDICT_WORD: dict[Verdict, str] = {True: "valid", False: "INVALID", "unknown": "unknown"}


@app.callback()
def root() -> None:
    """Check the promises of a coordination store."""


@app.command("check")
def check_history(
    history: Annotated[Path, typer.Argument(help="A history.jsonl")],
    model: Annotated[str, typer.Option(help=f"One of: {', '.join(sorted(MODELS))}")],
    max_seconds: Annotated[float, typer.Option(help='Then the verdict is "unknown"')] = 60.0,
) -> None:
    """Judge a recorded history again."""
    if model not in MODELS:
        fail(f"unknown model {model!r}; choose one of: {', '.join(sorted(MODELS))}")
    try:
        calls = list(operations(read_history(history)))
        verdict = check(calls, MODELS[model], Bounds(max_seconds=max_seconds))
    except OSError as error:
        fail(f"cannot read {history}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{history} is not text")
    except (HistoryError, ValueError) as error:
        fail(f"{history}: {error}")
    show(verdict)
    raise typer.Exit(EXIT_CODE[verdict.valid])


def show(verdict: LinearizableVerdict) -> None:
    """Print a line a key, and for each key that fails the operations among which it does."""
    console = Console()
    table = Table("key", "verdict", "operations", "states visited", "why")
    for key in verdict.keys:
        table.add_row(
            str(key.key), word(key.valid), str(key.operations), str(key.states_visited), key.reason
        )
    console.print(table)
    for key in verdict.keys:
        if key.valid is False:
            console.print(excerpt(key))
    console.print(f"verdict: {word(verdict.valid)}")


def excerpt(key: KeyVerdict) -> Table:
    """The operations around the one that fits nowhere, in order of their calls."""
    table = Table("process", "operation", "from", "to", title=f"key {key.key}: no order fits these")
    for operation in key.excerpt:
        end = "unknown" if operation.returned is None else str(operation.returned)
        table.add_row(str(operation.process), words(operation), str(operation.invoked), end)
    return table


def words(operation: Operation) -> str:
    """`write 3`, `read -> 3`, `cas [3, 4]`."""
    if operation.f == "read":
        return f"read -> {operation.result}"
    return f"{operation.f} {operation.argument}"


def word(valid: Verdict) -> str:
    """The verdict for people."""
    return VERDICT_WORD[valid]


def fail(message: str) -> NoReturn:
    """One line on stderr, exit 2."""
    typer.echo(f"chaos: {message}", err=True)
    raise typer.Exit(2)


def main() -> None:
    """Entry point of the console script."""
    app()
