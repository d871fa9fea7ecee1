"""The two plots: how many times faster than others, and how long things take."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.figures import HEADLINES, Figures, Headline
from bench.plot import COLOURS, MARGIN, WIDTH, Drawing, LogScale
from bench.results import REFERENCE
from bench.targets import goal_of
from bench.text import number

NAME_WIDTH = 250
VALUE_WIDTH = 120
BAR, STEP, BETWEEN = 11, 17, 12
# Row, scenario, label
LATENCIES = (
    ("Durable write, 1 caller", "commit", "put 100 B, 1 caller"),
    ("Lock + unlock, 1 caller", "lock", "1 caller"),
    ("Lock + unlock, 32 callers", "lock", "32 callers"),
    ("Linearizable get, 64 callers", "kv", "get, 64 callers"),
    ("Task cycle, 1 caller", "cycle", "1 caller"),
    ("Task cycle, 64 callers", "cycle", "64 callers, 1 task a call"),
    ("Task cycle, 50 % of capacity", "open", "50 % of capacity"),
    ("Task cycle, 80 % of capacity", "open", "80 % of capacity"),
)
PERCENTILES = (("p50_ms", 5.5), ("p99_ms", 4.0), ("p999_ms", 2.5))  # with the size of its dot
TICKS = tuple(part * 10.0**power for power in range(-2, 5) for part in (1, 2, 5))


def colours(figures: Figures) -> dict[str, str]:
    """Of each system, the same in both plots."""
    names = [REFERENCE, *figures.peers()]
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}


def ratios_svg(figures: Figures) -> str:
    """Bars to the right of the line at 1: this store is faster; to the left: slower."""
    drawing = Drawing(
        "How many times faster than others",
        "right of 1: this store is faster; a mark: the goal; same machine, same run",
    )
    bars = {
        (headline, peer): ratio
        for headline in HEADLINES
        for peer in figures.peers()
        if (ratio := figures.ratio(headline, peer))
    }
    goals = [goal for headline, peer in bars if (goal := goal_of(headline, peer))]
    scale = _scale([1.0, *bars.values(), *goals])
    colour = colours(figures)
    _legend(drawing, {f"than {peer}": colour[peer] for _, peer in bars})
    top = drawing.y
    previous: Headline | None = None
    for (headline, peer), ratio in bars.items():
        if headline is not previous:
            _group(drawing, headline.title)
            previous = headline
        begin, end = sorted((scale(1.0), scale(ratio)))
        drawing.bar(begin, end - begin, BAR, colour[peer])
        if goal := goal_of(headline, peer):
            drawing.upright(scale(goal), drawing.y - BAR / 2 - 2, drawing.y + BAR / 2 + 2, "goal")
            end = max(end, scale(goal))
        drawing.beside(end + 6, f"{number(ratio)} x")
        drawing.y += STEP
    drawing.upright(scale(1.0), top, drawing.y, "axis")
    drawing.y += 12
    drawing.text(scale(1.0), "1 x", "soft", "middle")
    return drawing.svg()


def latencies_svg(figures: Figures) -> str:
    """For each system a line from p50 over p99 to p99.9."""
    drawing = Drawing(
        "How long things take, in milliseconds",
        "dots: half, 99 % and 99.9 % of all calls are as fast; number: half of them",
    )
    colour = colours(figures)
    lines = {
        (title, system): values
        for title, scenario, label in LATENCIES
        for system in colour
        if (values := _percentiles(figures, scenario, label, system))
    }
    everything = [value for values in lines.values() for value in values]
    scale = _scale(everything or [1.0])
    _legend(drawing, {system: colour[system] for _, system in lines})
    ticks = [tick for tick in TICKS if everything and min(everything) <= tick <= max(everything)]
    height = STEP * len(lines) + BETWEEN * len({title for title, _ in lines})
    for tick in ticks:
        drawing.upright(scale(tick), drawing.y, drawing.y + height, "grid")
    previous = ""
    for (title, system), values in lines.items():
        if title != previous:
            _group(drawing, title)
            previous = title
        places = [scale(value) for value in values]
        drawing.bar(places[0], places[-1] - places[0], 3, colour[system])
        for place, (_, radius) in zip(places, PERCENTILES, strict=True):
            drawing.dot(place, radius, colour[system])
        drawing.beside(places[-1] + 10, number(values[0]), "soft")
        drawing.y += STEP
    drawing.y += 8
    for tick in ticks:
        drawing.text(scale(tick), f"{tick:g}", "soft", "middle")
    return drawing.svg()


def _percentiles(figures: Figures, scenario: str, label: str, system: str) -> list[float]:
    """All of them, or none."""
    found = [figures.value(scenario, label, figure, system) for figure, _ in PERCENTILES]
    values = [value for value in found if value]
    return values if len(values) == len(PERCENTILES) else []


def _legend(drawing: Drawing, colour: dict[str, str]) -> None:
    drawing.y += 10
    drawing.legend(colour.items())
    drawing.y += 14


def _group(drawing: Drawing, title: str) -> None:
    """Room, and the name beside the first line of a group."""
    drawing.y += BETWEEN
    drawing.beside(MARGIN, title, "strong")


def _scale(values: Sequence[float]) -> LogScale:
    lowest, highest = min(values), max(values)
    if math.isclose(lowest, highest):
        highest = lowest * 2
    return LogScale(lowest, highest, NAME_WIDTH, WIDTH - VALUE_WIDTH)
