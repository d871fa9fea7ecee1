"""`chaos matrix`: every nemesis against every workload, for as long as there is time."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from chaos.commands.failing import fail
from chaos.commands.run import lacks, workload_names
from chaos.histories.verdicts import EXIT_CODE, VERDICT_STYLE, word, worst
from chaos.report.index import write_document, write_index
from chaos.run.matrix import Cell, CellResult, latest, load, order, run_cells
from chaos.run.schedule import ScheduleError, parse_specs
from chaos.testbed.cluster import NETWORKS
from chaos.workloads import WORKLOADS
from coord.terminal.help import PlainCommand
from coord.terminal.options import decimal, whole


def register(app: typer.Typer) -> None:
    app.command("matrix", cls=PlainCommand)(matrix)


def matrix(
    budget: Annotated[
        float, decimal("--budget", metavar="S", help="Seconds for all runs together.")
    ] = 600.0,
    nodes: Annotated[
        str, typer.Option(metavar="N,...", help="How many nodes; each number is tried.")
    ] = "3",
    workload: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="As of `chaos run`; '+' between those of one run; all means each alone.",
        ),
    ] = "all",
    nemesis: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="As of `chaos run`; each alternative is a row; all means each.",
        ),
    ] = "all",
    network: Annotated[
        str, typer.Option(metavar="NAME,...", help=f"Of {', '.join(NETWORKS)}.")
    ] = "proxy",
    duration: Annotated[
        float,
        decimal("--duration", low=1, metavar="S", help="Seconds under load of each run."),
    ] = 15.0,
    again: Annotated[
        bool, typer.Option("--again", help="Also run again what was not valid, with its seed.")
    ] = False,
    jobs: Annotated[int, whole("--jobs", low=1, high=16, help="Runs at the same time.")] = 1,
    seed: Annotated[int, whole("--seed", help="Decides the order, and each run's seed.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Results go there, and those there count.")
    ] = Path("out", "matrix"),
    document: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write index.md there too, with its picture in img/ beside it."
        ),
    ] = None,
) -> None:
    """Run every nemesis against every workload until the budget is used up.

    Asked again with the same --out it goes on where it stopped. Exit code 0: every cell so far is
    valid (by its last run); 1: one is not; 2: of one nothing can be said, or there is none."""
    cells = order(cells_of(nodes, workload, nemesis, network, duration), seed)
    console = Console(emoji=False)
    wanted = set(cells)
    before = latest(load(out))
    done = sum(one.cell in wanted and (one.valid is True or not again) for one in before)
    console.print(f"{len(cells)} runs, {done} of them done before; {budget:g} s", highlight=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # one way to stop is enough
    try:
        with closing(run_cells(cells, out, seed, budget, jobs=jobs, again=again)) as results_so_far:
            for number, result in enumerate(results_so_far, done + 1):
                write_index(out)
                _show(console, f"{number}/{len(cells)}", result)
    except KeyboardInterrupt:
        console.print("interrupted; asked again, it goes on here")
    results = latest(load(out))
    write_index(out)
    if document is not None:
        write_document(document, out)
    console.print(f"index: {out / 'index.html'}", highlight=False)
    valid = worst(result.valid for result in results) if results else "unknown"
    console.print(f"verdict: {word(valid)}", style=VERDICT_STYLE[valid])
    raise typer.Exit(EXIT_CODE[valid])


def cells_of(
    nodes: str, workload: str, nemesis: str, network: str, duration_s: float
) -> list[Cell]:
    """Every combination of what the options name."""
    return [
        Cell(count, name, row, ",".join(column), duration_s)
        for name in (one.strip() for one in network.split(","))
        for column in _columns(workload)
        for row in _rows(nemesis, lacks(name, column))
        for count in _counts(nodes)
    ]


def _columns(text: str) -> list[tuple[str, ...]]:
    if text == "all":
        return [(name,) for name in WORKLOADS]
    return [workload_names(one.replace("+", ",")) for one in text.split(",")]


def _rows(text: str, missing: frozenset[str]) -> list[str]:
    """Nemeses as `chaos run` takes them; of all, those that such a run can have."""
    rows: list[str] = []
    try:
        for one in (one.strip() for one in text.split(",")):
            specs = parse_specs(one, missing)
            rows += [spec.parts[0][0] for spec in specs] if one == "all" else [one]
    except ScheduleError as error:
        fail(str(error))
    return rows


def _counts(text: str) -> list[int]:
    try:
        counts = [int(one) for one in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= 7 for count in counts):
        fail(f"--nodes takes numbers from 1 to 7 with ',' between, not {text!r}")
    return counts


def _show(console: Console, count: str, result: CellResult) -> None:
    cell = result.cell
    line = (
        f"{count:>9}  {word(result.valid):7}  {cell.nemesis} x {cell.workloads}, {cell.nodes} "
        f"nodes, {cell.network}, seed {result.seed}, {result.took_s:.0f} s"
    )
    style = VERDICT_STYLE[result.valid]
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)
    for anomaly in (*result.anomalies[:3], *filter(None, [result.trouble])):
        console.print(f"           {anomaly}", style=style, highlight=False, markup=False)
