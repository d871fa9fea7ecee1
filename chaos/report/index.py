"""The pages about a matrix: one with nemeses down, workloads across, and links to the reports of
the runs; the same as a document with every seed; and a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from chaos.histories.verdicts import word, worst
from chaos.nemeses import NEMESES
from chaos.report.matrix_plot import in_order, matrix_plot
from chaos.report.pieces import badge, figure_row, milliseconds, page, section, table, words
from chaos.report.png import can_draw, draw
from chaos.run.matrix import CELLS, CellResult, latest, load

Grid = Mapping[tuple[str, str], CellResult]
PICTURE = "matrix.png"


def write_index(out: Path) -> None:
    """`index.html`, `index.md` and, with the extra for pictures, `matrix.png` beside the
    results."""
    results = load(out)
    (out / "index.html").write_text(_page(results), encoding="utf-8")
    _write_document(out / "index.md", out / PICTURE, results)


def write_document(path: Path, out: Path) -> None:
    """The document once more, somewhere else, with its picture in `img/` beside it."""
    picture = path.parent / "img" / f"{path.stem}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    _write_document(path, picture, load(out))


def _write_document(path: Path, picture: Path, results: Sequence[CellResult]) -> None:
    where = picture.relative_to(path.parent).as_posix()
    path.write_text(_document(results, where), encoding="utf-8")
    if can_draw():
        picture.write_bytes(draw(matrix_plot(latest(results))))


def _figures(results: Sequence[CellResult]) -> dict[str, str]:
    return {
        "runs": f"{len(results):,}",
        "calls": f"{sum(result.calls for result in results):,}",
        "faults": f"{sum(result.faults for result in results):,}",
        "minutes": f"{sum(result.took_s for result in results) / 60:.0f}",
    }


def _page(results: Sequence[CellResult]) -> str:
    last = latest(results)
    valid = worst(result.valid for result in last) if last else "unknown"
    return page(
        f"chaos matrix: {word(valid)}",
        f"<header><div><h1>Chaos matrix</h1></div>{badge(valid)}</header>"
        + figure_row(_figures(results)),
        section("All together", words("The number of runs in each cell."), matrix_plot(last)),
        *(_grid(title, grid) for title, grid in _grids(last).items()),
        _trouble(results),
    )


def _grids(results: Sequence[CellResult]) -> dict[str, Grid]:
    """By number of nodes and network."""
    grids: dict[str, dict[tuple[str, str], CellResult]] = defaultdict(dict)
    for result in sorted(results, key=lambda one: (one.cell.nodes, one.cell.network)):
        cell = result.cell
        grids[f"{cell.nodes} nodes, {cell.network}"][cell.nemesis, cell.workloads] = result
    return dict(grids)


def _axes(grid: Grid) -> tuple[list[str], list[str]]:
    return in_order((row for row, _ in grid), NEMESES), sorted({column for _, column in grid})


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
    lines = [f'<p class="mono wrong">{escape(line)}</p>' for line in _not_valid(results)]
    return section("What was not valid", *lines) if lines else ""


def _not_valid(results: Sequence[CellResult]) -> Iterator[str]:
    """What was wrong with each run that was not valid, and whether it was when played again."""
    last = {result.cell: result for result in results}
    for result in results:
        if result.valid is True:
            continue
        final = last[result.cell]
        again = "" if final is result else f" (played again: {word(final.valid)})"
        yield f"{word(result.valid)}{again}: {result.replay or result.cell.name}"
        yield from filter(None, (*result.anomalies, result.trouble))


def _document(results: Sequence[CellResult], picture: str) -> str:
    """Everything, with the seed of each run."""
    last = latest(results)
    figures = _figures(results)
    verdict = word(worst(result.valid for result in last)) if last else "unknown"
    lines = [
        "# A matrix that was played",
        "",
        f"{figures['runs']} runs, {figures['minutes']} minutes of running in all, "
        f"{figures['calls']} calls, {figures['faults']} faults. Verdict: {verdict}.",
        "",
        f"![Runs by nemesis and workload, coloured by verdict]({picture})",
        "",
        *_how_to_repeat(last),
    ]
    for title, grid in _grids(last).items():
        lines += ["", f"## {title}", "", *_markdown(grid)]
    if wrong := list(_not_valid(results)):
        lines += ["", "## What was not valid", "", *(f"    {line}" for line in wrong)]
    return "\n".join(lines) + "\n"


def _how_to_repeat(results: Sequence[CellResult]) -> list[str]:
    durations = sorted({result.cell.duration_s for result in results})
    seconds = " or ".join(f"`--duration {one:g}`" for one in durations)
    return [
        "Each cell holds the verdict and the seed of a run. `chaos run --quiet 0.5:2` with "
        f"{seconds} and its nodes, network, nemesis, workloads and seed plays it again.",
    ]


def _markdown(grid: Grid) -> list[str]:
    rows, columns = _axes(grid)
    lines = [f"| nemesis | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for row in rows:
        cells = [grid.get((row, column)) for column in columns]
        shown = [f"{word(one.valid)} {one.seed}" if one else "" for one in cells]
        lines.append(f"| {row} | {' | '.join(shown)} |")
    return lines
