"""`chaos selftest`: do the checkers see what is broken, and nothing where nothing is?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaos.broken import BROKEN
from chaos.checkers.result import CheckResult
from chaos.memory import MemoryStore
from chaos.selftest import try_store
from chaos.stock.trial import try_stock
from chaos.verdicts import VERDICT_STYLE, Verdict, word
from chaos.workloads import WORKLOADS


def register(app: typer.Typer) -> None:
    app.command("selftest")(selftest)


def selftest(
    seconds: Annotated[float, typer.Option(min=0.2, help="For each store and workload")] = 2.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Run every workload on a right store in memory and on broken ones, and registers on real
    processes of stock PySyncObj, whose leader is cut off.

    Exit code 0: what is broken was caught, and the right store was not; 1 otherwise."""
    table = Table("store", "workload", "verdict", "as it should be", "first anomaly")
    good = True
    for store, workload, expected, result in asyncio.run(_all(seconds, seed)):
        right = result.valid is expected
        good = good and right
        table.add_row(
            store,
            workload,
            Text(word(result.valid), style=VERDICT_STYLE[result.valid]),
            Text("yes", style="green") if right else Text("NO", style="bold red"),
            result.anomalies[0] if result.anomalies else "",
        )
    console = Console()
    console.print(table)
    console.print("what is broken was caught" if good else "the checkers cannot be trusted")
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
