"""The index page of a matrix: nemeses down, workloads across, a link to each run's report; and the
same as a table for documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from chaos.matrix import CELLS, CellResult, load
from chaos.report.pieces import badge, figure_row, milliseconds, page, section, table
from chaos.verdicts import word, worst

Grid = Mapping[tuple[str, str], CellResult]


def write_index(out: Path) -> None:
    """`index.html` and `index.md` beside the results."""
    results = load(out)
    (out / "index.html").write_text(_page(results), encoding="utf-8")
    (out / "index.md").write_text(_markdown(results), encoding="utf-8")


def _page(results: Sequence[CellResult]) -> str:
    valid = worst(result.valid for result in results) if results else "unknown"
    spent_s = sum(result.took_s for result in results)
    figures = {
        "runs": f"{len(results):,}",
        "calls": f"{sum(result.calls for result in results):,}",
        "faults": f"{sum(result.faults for result in results):,}",
        "minutes": f"{spent_s / 60:.0f}",
    }
    return page(
        f"chaos matrix: {word(valid)}",
        f"<header><div><h1>Chaos matrix</h1></div>{badge(valid)}</header>{figure_row(figures)}",
        *(_grid(title, grid) for title, grid in _grids(results).items()),
        _trouble(results),
    )


def _grids(results: Sequence[CellResult]) -> dict[str, Grid]:
    """By number of nodes and network; the last result of a cell counts."""
    grids: dict[str, dict[tuple[str, str], CellResult]] = defaultdict(dict)
    for result in sorted(results, key=lambda one: (one.cell.nodes, one.cell.network)):
        cell = result.cell
        grids[f"{cell.nodes} nodes, {cell.network}"][cell.nemesis, cell.workloads] = result
    return dict(grids)


def _axes(grid: Grid) -> tuple[list[str], list[str]]:
    return sorted({row for row, _ in grid}), sorted({column for _, column in grid})


def _grid(title: str, grid: Grid) -> str:
    rows, columns = _axes(grid)
    cells = [[escape(row), *(_cell(grid.get((row, column))) for column in columns)] for row in rows]
    return section(title, table(["nemesis", *columns], cells))


def _cell(result: CellResult | None) -> str:
    if result is None:
        return ""
    told = f"{result.calls:,} calls, {result.faults} faults, seed {result.seed}, longest write gap "
    told += milliseconds(result.longest_write_gap_ms)
    link = f"{CELLS}/{result.cell.name}/report.html"
    shown = badge(result.valid, small=True)
    return f'<a href="{escape(link)}" title="{escape(told)}">{shown}</a>'


def _trouble(results: Sequence[CellResult]) -> str:
    lines = [
        f'<p class="mono wrong">{escape(line)}</p>'
        for result in results
        if result.valid is not True
        for line in (result.replay or result.cell.name, *result.anomalies, result.trouble)
        if line
    ]
    return section("What was not valid", *lines) if lines else ""


def _markdown(results: Sequence[CellResult]) -> str:
    """One line a run, with the seed."""
    lines = ["| nodes | network | nemesis | workload | seed | verdict | calls | faults |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for grid in _grids(results).values():
        for _, one in sorted(grid.items()):
            cell = one.cell
            words = [str(cell.nodes), cell.network, cell.nemesis, cell.workloads, str(one.seed)]
            words += [word(one.valid), str(one.calls), str(one.faults)]
            lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines) + "\n"
