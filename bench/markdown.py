"""The results as a page: targets, plots, tables, and how it was all set up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import HEADLINES, Figures
from bench.results import REFERENCE, Results, Row
from bench.scenarios.base import Scenario
from bench.table import cells, headings, machine
from bench.targets import Finding, goal_of
from bench.text import number

NOTE = "<!-- Written by scripts/bench --markdown; do not change by hand. -->"


def page(
    results: Results,
    scenarios: Sequence[Scenario],
    findings: Sequence[Finding],
    pictures: Sequence[tuple[str, str]],
) -> str:
    """`pictures`: what each shows, and where it is as seen from the page."""
    figures = Figures(results, scenarios)
    parts = [
        NOTE,
        "# Results of the benchmarks",
        "How this was measured, and what the systems are: [benchmarks.md](benchmarks.md).",
        *(f"![{text}]({path})" for text, path in pictures),
        *_section("## Targets", targets(findings)),
        *_section("## In short", headlines(figures)),
        *(
            f"## {scenario.title}\n\n{scenario_table(scenario, rows)}"
            for scenario, rows in results.all_rows(scenarios)
        ),
        "## Set-up\n\n" + "\n".join(_setup(results)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, table: str) -> list[str]:
    return [f"{title}\n\n{table}"] if table else []


def targets(findings: Sequence[Finding]) -> str:
    rows = [
        (str(f.target or ""), f.text, f.goal, f.shown, f"**{f.verdict}**" if f.met else f.verdict)
        for f in findings
    ]
    return _table(("", "target", "goal", "measured", ""), rows) if rows else ""


def headlines(figures: Figures) -> str:
    """This store's figure, and how many times better it is than each other system."""
    peers = [p for p in figures.peers() if any(figures.ratio(h, p) for h in HEADLINES)]
    rows = []
    for headline in HEADLINES:
        ours = figures.of(headline)
        if ours is None:
            continue
        unit = "ms" if headline.less else "/s"
        ratios = [_ratio(figures.ratio(headline, peer), goal_of(headline, peer)) for peer in peers]
        rows.append((headline.title, f"{number(ours)} {unit}", *ratios))
    columns = ("", REFERENCE, *(f"times better than {peer}" for peer in peers))
    return _table(columns, rows) if rows else ""


def _ratio(value: float | None, goal: float | None) -> str:
    if value is None:
        return ""
    wanted = "" if goal is None else f" (goal {number(goal)})"
    return f"{number(value)} x{wanted}"


def scenario_table(scenario: Scenario, rows: Sequence[Row]) -> str:
    return _table(headings(scenario), [cells(scenario, row) for row in rows])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    width = len(columns)
    return "\n".join(
        "| " + " | ".join(_cell(text) for text in [*line, *[""] * (width - len(line))]) + " |"
        for line in lines
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _setup(results: Results) -> Iterator[str]:
    for label, text in results.configurations.items():
        yield f"- {label}: {text}"
    for label, reason in results.not_run.items():
        yield f"- {label}: not run: {reason}"
    yield f"- machine: {machine(results)}"
    yield from (f"- reproduce: `{command}`" for command in results.commands)
