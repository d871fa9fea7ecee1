"""Just enough SVG for the plots: scales, axes, shapes. Colours are CSS classes of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH = 1_080
NARROW = 380  # for telephones: drawn once more, so that texts keep their size
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 26, 26
TICK_EVERY = 92


def number(value: float) -> str:
    """Short: one digit behind the point is finer than a pixel needs."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass(slots=True)
class Plot:
    """A plot over time, `height` units high. `span_s`: what the x axis shows, from 0."""

    span_s: float
    height: int
    width: int = WIDTH
    parts: list[str] = field(default_factory=list)

    @property
    def bottom(self) -> float:
        return self.height - BOTTOM

    def x(self, seconds: float) -> float:
        share = min(max(seconds / self.span_s, 0.0), 1.0)
        return LEFT + share * (self.width - LEFT - RIGHT)

    def bands(self, spans: Sequence[tuple[float, float, str]]) -> None:
        """Faults: (from, to, name), shaded over the whole height."""
        for start, end, name in spans:
            left, right = self.x(start), max(self.x(end), self.x(start) + 2)
            self.parts.append(
                f'<rect class="band" x="{number(left)}" y="{TOP}" width="{number(right - left)}" '
                f'height="{number(self.bottom - TOP)}"><title>{escape(name)}</title></rect>'
            )

    def time_axis(self) -> None:
        step = nice_step(self.span_s * TICK_EVERY / (self.width - LEFT - RIGHT))
        for n in range(int(self.span_s / step) + 1):
            x = number(self.x(n * step))
            self.parts.append(
                f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{number(self.bottom)}"/>'
            )
            self.text(float(x), self.bottom + 16, f"{n * step:g} s", "tick middle")

    def names(self, upwards: str) -> None:
        """What the vertical axis shows."""
        self.text(4, 12, upwards, "tick")

    def level(self, y: float, label: str) -> None:
        """A horizontal grid line with its value at the left."""
        at = number(y)
        right = self.width - RIGHT
        self.parts.append(f'<line class="grid" x1="{LEFT}" y1="{at}" x2="{right}" y2="{at}"/>')
        self.text(LEFT - 8, y + 4, label, "tick end")

    def text(self, x: float, y: float, words: str, kind: str) -> None:
        self.parts.append(
            f'<text class="{kind}" x="{number(x)}" y="{number(y)}">{escape(words)}</text>'
        )

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, title: str = ""
    ) -> None:
        inside = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" rx="2">{inside}</rect>'
        )

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self.parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def dots(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Many small points as one path, which keeps the file small."""
        path = "".join(f"M{number(x)} {number(y)}h0" for x, y in points)
        if path:
            self.parts.append(f'<path class="dot {kind}" d="{path}"/>')

    def render(self, label: str) -> str:
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(label)}">' + "".join(self.parts) + "</svg>"
        )


def nice_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    if rough <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= rough * 0.999)


def log_share(value: float, low: float, high: float) -> float:
    """Where `value` lies between `low` (0) and `high` (1) on a logarithmic scale."""
    value = min(max(value, low), high)
    return math.log(value / low) / math.log(high / low)
