"""What a run leaves: tables on the terminal, and files where they are asked for."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import markdown
from bench.errors import BenchError
from bench.figures import Figures
from bench.plots import latencies_svg, ratios_svg
from bench.results import Results
from bench.scenarios import SCENARIOS
from bench.table import show
from bench.targets import judge, to_dicts

ALL = tuple(SCENARIOS.values())
RATIOS = "How many times faster than others"
LATENCIES = "How long things take"


@dataclass(frozen=True, slots=True)
class Report:
    """`plot` names the plot of the ratios; that of the latencies lies beside it."""

    json: Path | None = None
    markdown: Path | None = None
    plot: Path | None = None

    def make(self, results: Results, output: Console) -> None:
        """All of it. Files first: a terminal may be gone."""
        figures = Figures(results, ALL)
        findings = judge(figures)
        if self.json is not None:
            found = results.to_dict(ALL) | {"targets": to_dicts(findings)}
            _write(self.json, json.dumps(found, indent=2) + "\n")
        if self.plot is not None:
            _write(self.plot, ratios_svg(figures))
            _write(latency_plot(self.plot), latencies_svg(figures))
        if self.markdown is not None:
            page = markdown.page(results, ALL, findings, self._pictures(self.markdown))
            _write(self.markdown, page)
        show(results, ALL, findings, output)

    def _pictures(self, page: Path) -> list[tuple[str, str]]:
        if self.plot is None:
            return []
        plots = ((RATIOS, self.plot), (LATENCIES, latency_plot(self.plot)))
        return [(text, os.path.relpath(path, page.parent)) for text, path in plots]


def latency_plot(plot: Path) -> Path:
    return plot.with_stem(f"{plot.stem}-latency")


def read(paths: tuple[Path, ...]) -> Results:
    """What earlier runs have written with --json, put together. BenchError for other files."""
    runs = []
    for path in paths:
        try:
            runs.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise BenchError(f"{path}: {error}") from error
    try:
        return Results.from_dicts(runs)
    except (KeyError, TypeError) as error:
        raise BenchError(f"no results of scripts/bench: {error!r}") from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
