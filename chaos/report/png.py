"""Plots as PNG files beside the report, for mails and documents.

They are the reports' own SVG plots, drawn by resvg; that is an optional extra (`plots`), without
which there are no such files. Text needs fonts on the machine."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from chaos.histories.history import calls
from chaos.report import plots
from chaos.report.style import CSS
from chaos.report.svg import WIDTH
from chaos.run.runner import RunRecord

ZOOM = 1.5
FAMILY = '"DejaVu Sans","Liberation Sans","Noto Sans",Arial,Helvetica,sans-serif'
FONTS = f"text,.label{{font-family:{FAMILY}}}"
_VARIABLE = re.compile(r"var\((--[a-z]+)\)")
_VALUE = re.compile(r"(--[a-z]+):([^;}]+)")
_SIZE = re.compile(r'<svg viewBox="0 0 [\d.]+ ([\d.]+)"')


def can_draw() -> bool:
    return importlib.util.find_spec("resvg_py") is not None


def write_pngs(directory: Path, record: RunRecord) -> list[Path]:
    """timeline.png, latency.png, throughput.png; none without the extra."""
    if not can_draw():
        return []
    made = list(calls(record.events))
    drawn = {
        "timeline": plots.timeline(record),
        "latency": plots.latency(record, made),
        "throughput": plots.throughput(record, made),
    }
    paths = []
    for name, svg in drawn.items():
        paths.append(directory / f"{name}.png")
        paths[-1].write_bytes(draw(svg))
    return paths


def draw(svg: str) -> bytes:
    """The picture, in the light. Only if one `can_draw`."""
    import resvg_py

    height = _SIZE.search(svg)
    assert height is not None, "every plot has a size"
    alone = svg.replace(
        "<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height[1]}" ', 1
    )
    colours = _light_colours()
    style = _VARIABLE.sub(lambda found: colours[found[1]], _without_dark(CSS)) + FONTS
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=alone, style_sheet=style, background=colours["--card"], zoom=ZOOM
        )
    )


def _without_dark(css: str) -> str:
    """A picture has one look, and knows no media queries."""
    return re.sub(r"@media[^{]*\{:root\{[^}]*\}\}", "", css)


def _light_colours() -> dict[str, str]:
    root = CSS[CSS.index(":root{") : CSS.index("@media")]
    return dict(_VALUE.findall(root))
