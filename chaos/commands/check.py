"""`chaos check`: a recorded history is judged again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from chaos.checkers import CHECKERS
from chaos.checkers.linearizable import Bounds, KeyVerdict, LinearizableVerdict, check
from chaos.checkers.models import MODELS
from chaos.checkers.result import CheckBounds, CheckResult
from chaos.commands.failing import fail
from chaos.histories.history import (
    NEMESIS,
    HistoryError,
    HistoryEvent,
    Operation,
    of_workload,
    operations,
    read_history,
)
from chaos.histories.verdicts import EXIT_CODE, STYLES, Verdict, word
from chaos.workloads import WORKLOADS
from coord.terminal.help import PlainCommand
from coord.terminal.layout import Column, Printer
from coord.terminal.options import decimal

REGISTERS = frozenset({"register", "cas-register"})  # the one's calls are among the other's


def register(app: typer.Typer) -> None:
    app.command("check", cls=PlainCommand)(check_history)


def check_history(
    history: Annotated[Path, typer.Argument(metavar="HISTORY", help="A history.jsonl.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help=f"One of {', '.join(sorted(CHECKERS))}.")
    ],
    workload: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Judge only this workload's calls.",
            show_default="all workloads of that model",
        ),
    ] = "",
    max_seconds: Annotated[
        float,
        decimal("--max-seconds", low=0.001, metavar="S", help='Then the verdict is "unknown".'),
    ] = 60.0,
) -> None:
    """Judge a recorded history again."""
    if model not in CHECKERS:
        fail(f"unknown model {model!r}; choose one of: {', '.join(sorted(CHECKERS))}")
    try:
        events = _chosen(read_history(history), model, workload)
        valid = _judge(events, model, max_seconds)
    except OSError as error:
        fail(f"cannot read {history}: {error.strerror}")
    except UnicodeDecodeError:
        fail(f"{history} is not text")
    except (HistoryError, ValueError) as error:
        fail(f"{history}: {error}")
    except (KeyError, TypeError, AttributeError) as error:
        fail(f"{history}: these are no calls of model {model}: {error!r}")
    raise typer.Exit(EXIT_CODE[valid])


def _chosen(events: list[HistoryEvent], model: str, workload: str) -> list[HistoryEvent]:
    """A history may hold several workloads; those of other models are left out. Where it names
    none, everything is judged."""
    named = {event.workload for event in events if event.workload}
    if workload:
        if workload not in named:
            raise ValueError(f"has no workload {workload!r}; it has: {', '.join(sorted(named))}")
        return of_workload(events, workload)
    models = REGISTERS if model in REGISTERS else {model}
    wanted = {n for n in named if n in WORKLOADS and WORKLOADS[n].checker in models}
    if named and not wanted:
        raise ValueError(f"has no workload of model {model}; it has: {', '.join(sorted(named))}")
    if not wanted:
        return events
    return [event for event in events if event.workload in wanted or event.process == NEMESIS]


def _judge(events: Sequence[HistoryEvent], model: str, max_seconds: float) -> Verdict:
    if model in MODELS:
        verdict = check(operations(events), MODELS[model], Bounds(max_seconds=max_seconds))
        show_keys(verdict)
        return verdict.valid
    result = CHECKERS[model](events, CheckBounds(max_seconds))
    show_result(result)
    return result.valid


def show_result(result: CheckResult) -> None:
    """Print figures, broken promises, and the verdict."""
    console = Console()
    for name, value in result.facts.items():
        console.print(f"{name.replace('_', ' ')}: {value}", highlight=False)
    for anomaly in result.anomalies:
        console.print(anomaly, style="red", markup=False, highlight=False)
    console.print(f"verdict: {word(result.valid)}")


def show_keys(verdict: LinearizableVerdict) -> None:
    """Print a line a key, and for each key that fails the operations among which it does."""
    console = Console()
    printer = Printer(STYLES)
    columns = ("key", "verdict", "operations", "states visited", Column("why", wraps=True))
    printer.table(
        columns,
        [
            (key.key, word(key.valid), key.operations, key.states_visited, key.reason)
            for key in verdict.keys
        ],
        "no calls",
    )
    for key in verdict.keys:
        if key.valid is False:
            show_excerpt(printer, key)
    console.print(f"verdict: {word(verdict.valid)}")


def show_excerpt(printer: Printer, key: KeyVerdict) -> None:
    """The operations around the one that fits nowhere, in order of their calls."""
    printer.line("")
    printer.line(f"key {key.key}: no order fits these")
    printer.table(
        ("process", Column("operation", wraps=True), "from", "to"),
        [
            (
                operation.process,
                words(operation),
                operation.invoked,
                "unknown" if operation.returned is None else operation.returned,
            )
            for operation in key.excerpt
        ],
    )


def words(operation: Operation) -> str:
    """`write 3`, `read -> 3`, `cas [3, 4]`."""
    if operation.f == "read":
        return f"read -> {operation.result}"
    return f"{operation.f} {operation.argument}"
