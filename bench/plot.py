"""Pieces of the plots: SVG that needs nothing to be shown and follows the reader's choice of light
or dark."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

WIDTH = 860
MARGIN = 16
# One colour per system, of equal weight on white and on black.
COLOURS = ("#3b82f6", "#e08a2e", "#2fa36b", "#b565c4", "#d9534f", "#8a7a3f", "#6b8a99", "#c06c84")
_STYLE = """
text{font-family:Helvetica,Arial,"DejaVu Sans",sans-serif;font-size:12px;fill:#1f2328}
.title{font-size:15px;font-weight:600}.strong{font-weight:600}.soft{fill:#656d76}
.ground{fill:#ffffff}.grid{stroke:#d8dee4}.axis{stroke:#656d76}.goal{stroke:#1f2328;stroke-width:2}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.soft{fill:#8d96a0}.ground{fill:#0d1117}.grid{stroke:#30363d}
.axis{stroke:#8d96a0}.goal{stroke:#e6edf3}}
"""


class Drawing:
    """Things are drawn from the top down; `y` is where the next one goes."""

    def __init__(self, title: str, note: str) -> None:
        self.y = 28.0
        self._parts: list[str] = []
        self._title = title
        self.text(MARGIN, title, "title")
        self.y += 20
        self.text(MARGIN, note, "soft")
        self.y += 14

    def text(self, x: float, words: str, kind: str = "", anchor: str = "start") -> None:
        """Its foot is at `y`."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{self.y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def beside(self, x: float, words: str, kind: str = "") -> None:
        """Its middle is at `y`, as that of a bar."""
        self.y += 4
        self.text(x, words, kind)
        self.y -= 4

    def bar(self, x: float, width: float, height: float, colour: str) -> None:
        """Its middle is at `y`."""
        self._parts.append(
            f'<rect x="{x:.1f}" y="{self.y - height / 2:.1f}" width="{max(width, 1):.1f}"'
            f' height="{height}" rx="2" fill="{colour}"/>'
        )

    def dot(self, x: float, radius: float, colour: str) -> None:
        self._parts.append(f'<circle cx="{x:.1f}" cy="{self.y:.1f}" r="{radius}" fill="{colour}"/>')

    def upright(self, x: float, top: float, bottom: float, kind: str) -> None:
        self._parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" class="{kind}"/>'
        )

    def legend(self, colours: Iterable[tuple[str, str]]) -> None:
        """Names beside their colours, in one line."""
        x = float(MARGIN)
        for name, colour in colours:
            self.dot(x + 5, 5, colour)
            self.beside(x + 15, name)
            x += 30 + 7.0 * len(name)

    def svg(self) -> str:
        height = self.y + MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}"'
            f' viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(self._title)}">'
            f"<style>{_STYLE}</style>"
            f'<rect class="ground" width="100%" height="100%" rx="6"/>'
            f"{''.join(self._parts)}</svg>\n"
        )


class LogScale:
    """From a value to a place between `left` and `right`."""

    def __init__(self, lowest: float, highest: float, left: float, right: float) -> None:
        self._low = math.log(lowest)
        self._per_unit = (right - left) / (math.log(highest) - self._low)
        self._left = left

    def __call__(self, value: float) -> float:
        return self._left + (math.log(value) - self._low) * self._per_unit
