"""The results for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from scripts.lib.bench.results import REFERENCE, Results, Row
from scripts.lib.bench.scenarios.base import Scenario

TITLES = {
    "per_second": "per second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "max_ms": "max ms",
    "server_cores": "server cores",
    "client_cores": "client cores",
    "offered_per_second": "offered/s",
    "all_nodes_percent": "all nodes %",
    "drained_p50_s": "median s",
    "gap_worst_ms": "worst gap ms",
    "memory_start_mb": "MB first",
    "memory_middle_mb": "MB half-way",
    "memory_end_mb": "MB last",
}


def show(results: Results, scenarios: Sequence[Scenario], console: Console) -> None:
    """One table per scenario, then how everything was set up."""
    for scenario, rows in results.all_rows(scenarios):
        console.print()
        console.print(scenario_table(scenario, rows))
    console.print(
        f"\nratio: how many times better {REFERENCE} is; spread: lowest and highest round"
    )
    for label, text in results.configurations.items():
        console.print(f"  {label}: {text}", soft_wrap=True)
    for label, reason in results.not_run.items():
        console.print(f"  {label}: not run: {reason}", style="yellow", soft_wrap=True)
    console.print(f"  machine: {_machine(results)}", soft_wrap=True)
    console.print(f"  reproduce: {results.command}", soft_wrap=True)


def scenario_table(scenario: Scenario, rows: Sequence[Row]) -> Table:
    table = Table(title=scenario.title, title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("system")
    for heading in (scenario.unit, "spread", "ratio", *map(_title, scenario.columns)):
        table.add_column(heading, justify="right")
    previous = rows[0].label
    for row in rows:
        if row.label != previous:
            table.add_section()
            previous = row.label
        table.add_row(*_cells(scenario, row))
    return table


def _cells(scenario: Scenario, row: Row) -> list[str]:
    value = row.medians.get(scenario.headline)
    if value is None:
        return [row.label, row.system, "failed", row.error]
    return [
        row.label,
        row.system,
        number(value),
        f"{number(row.lowest)} - {number(row.highest)}" if row.rounds > 1 else "",
        "" if row.ratio is None else f"{row.ratio:.2f} x",
        *(number(row.medians[name]) if name in row.medians else "" for name in scenario.columns),
    ]


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def number(value: float) -> str:
    """Three digits that count; whole numbers from 100 on."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _machine(results: Results) -> str:
    return ", ".join(f"{name} {value}" for name, value in results.environment.items())
