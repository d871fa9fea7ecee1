"""`chaos check`: a recorded history is judged again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from chaos.checkers.linearizable import Bounds, KeyVerdict, LinearizableVerdict, check
from chaos.checkers.models import MODELS
from chaos.commands.failing import fail
from chaos.history import HistoryError, Operation, operations, read_history
from chaos.verdicts import EXIT_CODE, word


def register(app: typer.Typer) -> None:
    app.command("check")(check_history)


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
