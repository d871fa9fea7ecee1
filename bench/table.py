"""The results for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.results import REFERENCE, Results, Row
from bench.scenarios.base import Scenario
from bench.targets import Finding
from bench.text import number

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
    "times_slower": "times slower",
    "of_smallest": "of smallest",
    "bytes_each": "bytes each",
    "drained_p50_s": "median s",
    "gap_worst_ms": "worst gap ms",
    "memory_start_mb": "MB first",
    "memory_middle_mb": "MB half-way",
    "memory_end_mb": "MB last",
}


def show(
    results: Results,
    scenarios: Sequence[Scenario],
    findings: Sequence[Finding],
    console: Console,
) -> None:
    """One table per scenario, the targets, then how everything was set up."""
    for scenario, rows in results.all_rows(scenarios):
        console.print()
        console.print(scenario_table(scenario, rows))
    if any(finding.met is not None for finding in findings):
        console.print()
        console.print(targets_table(findings))
    console.print(
        f"\nratio: how many times better {REFERENCE} is; spread: lowest and highest round"
    )
    for label, text in results.configurations.items():
        console.print(f"  {label}: {text}", soft_wrap=True)
    for label, reason in results.not_run.items():
        console.print(f"  {label}: not run: {reason}", style="yellow", soft_wrap=True)
    console.print(f"  machine: {machine(results)}", soft_wrap=True)
    for command in results.commands:
        console.print(f"  reproduce: {command}", soft_wrap=True)


def targets_table(findings: Sequence[Finding]) -> Table:
    """Those that were measured."""
    table = Table(title="Targets", title_justify="left", title_style="bold")
    for heading in ("", "target", "goal", "measured", ""):
        table.add_column(heading)
    for one in findings:
        if one.met is not None:
            style = "green" if one.met else "red"
            number_of = str(one.target or "")
            table.add_row(number_of, one.text, one.goal, one.shown, f"[{style}]{one.verdict}[/]")
    return table


def scenario_table(scenario: Scenario, rows: Sequence[Row]) -> Table:
    table = Table(title=scenario.title, title_justify="left", title_style="bold")
    for at, heading in enumerate(headings(scenario)):
        table.add_column(heading, justify="right" if at > 1 else "left")
    previous = rows[0].label
    grouped = len({row.system for row in rows}) > 1
    for row in rows:
        if grouped and row.label != previous:
            table.add_section()
            previous = row.label
        table.add_row(*cells(scenario, row))
    return table


def headings(scenario: Scenario) -> list[str]:
    return ["", "system", scenario.unit, "spread", "ratio", *map(_title, scenario.columns)]


def cells(scenario: Scenario, row: Row) -> list[str]:
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


def machine(results: Results) -> str:
    return ", ".join(f"{name} {value}" for name, value in results.environment.items())
