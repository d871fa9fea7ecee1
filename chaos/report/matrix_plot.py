"""The picture of a matrix: nemeses down, workloads across, the number of runs in each cell, in the
colour of the worst verdict among them. A run with several workloads counts for each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from chaos.histories.verdicts import word, worst
from chaos.nemeses import NEMESES
from chaos.report.svg import RIGHT, TOP, WIDTH, Plot
from chaos.run.matrix import CellResult
from chaos.workloads import WORKLOADS

NAMES, HEAD, ROW, GAP = 170, 34, 26, 3
KEY_WIDTH = 110


def matrix_plot(results: Sequence[CellResult]) -> str:
    """One cell for each nemesis and each workload that occur."""
    runs: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for result in results:
        for workload in result.cell.workloads.split(","):
            runs[result.cell.nemesis, workload].append(result)
    rows = in_order((row for row, _ in runs), NEMESES)
    columns = in_order((column for _, column in runs), WORKLOADS)
    plot = Plot(1.0, TOP + HEAD + ROW * len(rows) + HEAD)
    width = (WIDTH - RIGHT - NAMES) / max(1, len(columns))
    for place, column in enumerate(columns):
        plot.text(NAMES + (place + 0.5) * width, TOP + HEAD - 12, column, "label middle")
    for n, row in enumerate(rows):
        y = TOP + HEAD + n * ROW
        plot.text(NAMES - 12, y + ROW / 2 + 3, row, "label end")
        for place, column in enumerate(columns):
            _cell(plot, NAMES + place * width, y, width, runs.get((row, column), []))
    _key(plot, TOP + HEAD + ROW * len(rows) + 14)
    return plot.render("runs by nemesis and workload, coloured by verdict")


def in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names without repetition: those that are known in that order, then the others."""
    found = set(names)
    first = [name for name in known if name in found]
    return [*first, *sorted(found - {*first})]


def _cell(plot: Plot, x: float, y: float, width: float, runs: Sequence[CellResult]) -> None:
    kind = word(worst(run.valid for run in runs)) if runs else "none"
    title = "; ".join(
        f"{run.cell.nodes} nodes, {run.cell.network}: {word(run.valid)}" for run in runs
    )
    plot.rect(x + GAP / 2, y, width - GAP, ROW - GAP, f"verdict {kind}", title)
    if runs:
        plot.text(x + width / 2, y + ROW / 2 + 3, str(len(runs)), "on-fault middle")


def _key(plot: Plot, y: float) -> None:
    for n, kind in enumerate(("valid", "unknown", "INVALID", "none")):
        x = NAMES + n * KEY_WIDTH
        plot.rect(x, y, 14, 14, f"verdict {kind}")
        plot.text(x + 20, y + 11, "not played" if kind == "none" else kind, "tick")
