"""`chaos selftest`: do the checkers see what is broken, and nothing where nothing is?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer

from chaos.checkers.result import CheckResult
from chaos.histories.verdicts import STYLES, Verdict, word
from chaos.run.selftest import try_store
from chaos.stock.trial import try_stock
from chaos.stores.broken import BROKEN
from chaos.stores.memory import MemoryStore
from chaos.workloads import WORKLOADS
from coord.terminal.help import PlainCommand
from coord.terminal.layout import Column, Printer
from coord.terminal.options import decimal, whole

COLUMNS = (
    Column("store", wraps=True),
    "workload",
    "verdict",
    "as expected",
    Column("first anomaly", rank=1, wraps=True),
)


def register(app: typer.Typer) -> None:
    app.command("selftest", cls=PlainCommand)(selftest)


def selftest(
    seconds: Annotated[
        float,
        decimal("--seconds", low=0.2, metavar="S", help="For each store and workload."),
    ] = 2.0,
    seed: Annotated[int, whole("--seed", help="Decides all that is drawn.")] = 0,
) -> None:
    """Run every workload on a right store in memory and on broken ones, and registers on real
    processes of stock PySyncObj, whose leader is cut off.

    Exit code 0: what is broken was caught, and the right store was not; 1 otherwise."""
    rows = []
    good = True
    for store, workload, expected, result in asyncio.run(_all(seconds, seed)):
        right = result.valid is expected
        good = good and right
        first = result.anomalies[0] if result.anomalies else ""
        rows.append((store, workload, word(result.valid), "yes" if right else "NO", first))
    printer = Printer({**STYLES, "yes": "green", "NO": "bold red"})
    printer.table(COLUMNS, rows)
    printer.line("what is broken was caught" if good else "the checkers cannot be trusted")
    raise typer.Exit(0 if good else 1)


async def _all(seconds: float, seed: int) -> list[tuple[str, str, Verdict, CheckResult]]:
    async def one(
        name: str, store: MemoryStore, workload: str, expected: Verdict
    ) -> tuple[str, str, Verdict, CheckResult]:
        return name, workload, expected, await try_store(store, workload, seconds, seed)

    stock = await try_stock(seed)
    return [
        *[await one(*arguments) for arguments in _cases()],
        ("stock PySyncObj (3 processes)", "register", False, stock),
    ]


def _cases() -> Iterator[tuple[str, MemoryStore, str, Verdict]]:
    for workload in WORKLOADS:
        yield "right", MemoryStore(), workload, True
    for name, (make, workloads) in BROKEN.items():
        for workload in workloads:
            yield name, make(), workload, False
