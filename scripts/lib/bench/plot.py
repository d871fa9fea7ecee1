"""The headline figures as bars, in one SVG file that needs nothing to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from scripts.lib.bench.results import Results, Row
from scripts.lib.bench.scenarios.base import Scenario
from scripts.lib.bench.table import number

WIDTH, NAME_WIDTH, VALUE_WIDTH = 860, 180, 150
BAR_HEIGHT, GAP = 16, 5
COLOURS = ("#1f6feb", "#d9822b", "#2e8540", "#a83279", "#6f42c1", "#8c6d31", "#5a6872", "#c0392b")


def svg(results: Results, scenarios: Sequence[Scenario]) -> str:
    """Bars are to scale within one group of bars, which share a point of a scenario."""
    systems = list(dict.fromkeys(sample.system for sample in results.samples))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(systems)}
    parts: list[str] = []
    y = 10
    for scenario, rows in results.all_rows(scenarios):
        y += 26
        better = "more" if scenario.higher_is_better else "less"
        parts.append(_text(10, y, f"{scenario.title} ({scenario.unit}, {better} is better)", "t"))
        for label in dict.fromkeys(row.label for row in rows):
            group = [r for r in rows if r.label == label and scenario.headline in r.medians]
            if group:
                y += 22
                parts.append(_text(10, y, label, "l"))
                y += 6
                y = _bars(parts, y, scenario, group, colours)
    style = (
        "text{font:12px sans-serif;fill:#24292f}.t{font-weight:bold;font-size:14px}.l{fill:#57606a}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 20}"'
        f' viewBox="0 0 {WIDTH} {y + 20}"><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _bars(
    parts: list[str], y: int, scenario: Scenario, rows: Sequence[Row], colours: dict[str, str]
) -> int:
    """Draws downwards from `y`; returns where it ends."""
    largest = max(row.highest for row in rows) or 1.0
    room = WIDTH - NAME_WIDTH - VALUE_WIDTH
    for row in rows:
        value = row.medians[scenario.headline]
        width, low, high = (room * part / largest for part in (value, row.lowest, row.highest))
        middle = y + BAR_HEIGHT / 2
        parts.append(_text(20, y + 12, row.system, "n"))
        parts.append(
            f'<rect x="{NAME_WIDTH}" y="{y}" width="{max(width, 1):.1f}" height="{BAR_HEIGHT}"'
            f' fill="{colours[row.system]}"/>'
            f'<line x1="{NAME_WIDTH + low:.1f}" x2="{NAME_WIDTH + high:.1f}" y1="{middle}"'
            f' y2="{middle}" stroke="#24292f"/>'
        )
        ratio = "" if row.ratio is None else f" ({row.ratio:.2f} x)"
        at = NAME_WIDTH + round(max(width, high)) + 6
        parts.append(_text(at, y + 12, number(value) + ratio, "v"))
        y += BAR_HEIGHT + GAP
    return y


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'
