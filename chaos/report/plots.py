"""The plots of a report, each an SVG text."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from chaos.checkers.result import Shown
from chaos.histories.availability import Availability
from chaos.histories.history import Call
from chaos.report.svg import LEFT, RIGHT, TOP, WIDTH, Plot, log_share, nice_step
from chaos.run.runner import RunRecord

BIN_S = 0.5
MAX_DOTS = 8_000
LOW_MS, HIGH_MS = 0.5, 20_000.0
LANE = 22
ROLE_KINDS = {"leader", "follower", "candidate", "down", "paused"}


def span_s(record: RunRecord) -> float:
    """The time the plots show."""
    last = record.events[-1].t if record.events else 0
    return max(1.0, max(last, record.load_ns[1]) / 1e9)


def bands(record: RunRecord) -> list[tuple[float, float, str]]:
    return [
        (fault.start_ns / 1e9, fault.end_ns / 1e9, f"{fault.name}: {fault.words}")
        for fault in record.faults
    ]


def timeline(record: RunRecord, width: int = WIDTH) -> str:
    """Faults by name, what every node was, and when writes succeeded."""
    nodes = sorted(record.roles[0][1]) if record.roles else []
    plot = Plot(span_s(record), TOP + LANE * (len(nodes) + 2) + 40, width)
    plot.names("what happened, by time")
    plot.bands(bands(record))
    plot.time_axis()
    _fault_lane(plot, record, TOP + 4)
    for row, node_id in enumerate(nodes, 1):
        _role_lane(plot, record, node_id, TOP + 4 + LANE * row)
    _write_lane(plot, record, TOP + 4 + LANE * (len(nodes) + 1))
    return plot.render("faults, roles of nodes, and writes over time")


def _fault_lane(plot: Plot, record: RunRecord, y: float) -> None:
    plot.text(LEFT - 8, y + 12, "faults", "tick end")
    for start, end, name in bands(record):
        left, right = plot.x(start), max(plot.x(end), plot.x(start) + 3)
        plot.rect(left, y, right - left, LANE - 6, "fault", name)
        short = name.partition(":")[0]
        if right - left > 7 * len(short):
            plot.text((left + right) / 2, y + 12, short, "on-fault middle")


def _role_lane(plot: Plot, record: RunRecord, node_id: str, y: float) -> None:
    plot.text(LEFT - 8, y + 12, node_id, "tick end")
    samples = [(at_ns / 1e9, roles.get(node_id, "down")) for at_ns, roles in record.roles]
    end = samples[-1][0] + 0.5
    changes = [one for n, one in enumerate(samples) if n == 0 or samples[n - 1][1] != one[1]]
    for (start, role), (until, _) in itertools.pairwise([*changes, (end, "")]):
        known = role in ROLE_KINDS
        left, right = plot.x(start), plot.x(until)
        title = f"{node_id}: {role if known else 'no answer'}"
        plot.rect(left, y, right - left, LANE - 6, f"role {role if known else 'silent'}", title)


def _write_lane(plot: Plot, record: RunRecord, y: float) -> None:
    plot.text(LEFT - 8, y + 12, "writes", "tick end")
    hit = sorted({t // 100_000_000 for t in record.probe.success_ns})
    start = previous = None
    for window in [*hit, None]:
        if start is not None and previous is not None and window != previous + 1:
            left, right = plot.x(start / 10), plot.x((previous + 1) / 10)
            plot.rect(left, y, right - left, LANE - 6, "writes", "writes succeed")
            start = None
        if start is None:
            start = window
        previous = window


def latency(record: RunRecord, made: Sequence[Call], width: int = WIDTH) -> str:
    """When each call ended, and how long it had taken, by outcome; the scale is logarithmic."""
    plot = Plot(span_s(record), 312, width)
    plot.names("how long a call took, by when it ended")
    plot.bands(bands(record))
    plot.time_axis()
    height = plot.bottom - TOP

    def y(ms: float) -> float:
        return plot.bottom - log_share(ms, LOW_MS, HIGH_MS) * height

    for ms, label in (
        (1, "1 ms"),
        (10, "10 ms"),
        (100, "100 ms"),
        (1_000, "1 s"),
        (10_000, "10 s"),
    ):
        plot.level(y(ms), label)
    keep_every = 1 + len(made) // MAX_DOTS
    for outcome in ("ok", "fail", "info"):
        points = [
            (plot.x(call.end.t / 1e9), y((call.end.t - call.invoke.t) / 1e6))
            for n, call in enumerate(made)
            if call.end is not None
            and call.type == outcome
            and (outcome != "ok" or n % keep_every == 0)
        ]
        plot.dots(points, outcome)
    return plot.render("latency of every call")


def throughput(record: RunRecord, made: Sequence[Call], width: int = WIDTH) -> str:
    """Calls that ended, each second, by outcome."""
    plot = Plot(span_s(record), 202, width)
    plot.names("calls that ended, a second")
    plot.bands(bands(record))
    plot.time_axis()
    bins = int(plot.span_s / BIN_S) + 1
    found: dict[str, Counter[int]] = {kind: Counter() for kind in ("ok", "fail", "info")}
    for call in made:
        if call.end is not None:
            found[call.type][int(call.end.t / 1e9 / BIN_S)] += 1
    top = max((max(one.values(), default=0) for one in found.values()), default=0) / BIN_S or 1.0
    step = nice_step(top / 4)
    height = plot.bottom - TOP
    for n in range(int(top / step) + 1):
        plot.level(plot.bottom - n * step / top * height, f"{n * step:g}/s")
    for kind, counts in found.items():
        plot.line(
            [
                (plot.x((n + 0.5) * BIN_S), plot.bottom - counts[n] / BIN_S / top * height)
                for n in range(bins)
            ],
            f"curve {kind}",
        )
    return plot.render("calls a second")


def gaps(record: RunRecord, width: int = WIDTH) -> str:
    """How long the times without a successful write were: each as a point, by when it began."""
    plot = Plot(span_s(record), 212, width)
    plot.names("length of a time without a write, by when it began")
    plot.bands(bands(record))
    plot.time_axis()
    height = plot.bottom - TOP

    def y(ms: float) -> float:
        return plot.bottom - log_share(ms, 10, 60_000) * height

    for level, label in ((10, "10 ms"), (100, "100 ms"), (1_000, "1 s"), (10_000, "10 s")):
        plot.level(y(level), label)
    times = [record.load_ns[0], *record.probe.success_ns, record.load_ns[1]]
    for start, end in itertools.pairwise(times):
        ms = (end - start) / 1e6
        if ms < 10:
            continue
        left, right = plot.x(start / 1e9), plot.x(end / 1e9)
        kind = "gap long" if ms > 1_000 else "gap"
        plot.rect(left, y(ms), max(right - left, 1.5), 3, kind, f"{ms:.0f} ms")
    return plot.render("times without a successful write")


def gap_histogram(found: Availability, width: int = WIDTH) -> str:
    """How many times without a successful write there were, by their length."""
    bins = found.histogram()
    plot = Plot(float(len(bins)), 232, width)
    plot.names("how many times without a write, by their length")
    height, top = plot.bottom - TOP - 16, max(2, *(one.count for one in bins))
    for power in range(int(math.log10(top)) + 1):
        plot.level(plot.bottom - _count_share(10**power, top) * height, f"{10**power:,}")
    for place, one in enumerate(bins):
        left, right = plot.x(place + 0.12), plot.x(place + 0.88)
        label = f"<{_short(one.to_ms)}" if one.to_ms else "longer"
        if width == WIDTH and one.to_ms:
            label = f"under {_short(one.to_ms)}"
        elif place % 2 and one.to_ms:
            label = ""  # there is no room for each
        plot.text((left + right) / 2, plot.bottom + 16, label, "tick middle")
        if not one.count:
            continue
        y = plot.bottom - _count_share(one.count, top) * height
        kind = "gap long" if one.from_ms >= 1_000 else "gap"
        plot.rect(left, y, right - left, plot.bottom - y, kind, f"{one.total_ms:,} ms in all")
        plot.text((left + right) / 2, y - 5, f"{one.count:,}", "tick middle")
    return plot.render("times without a successful write, by length")


def _count_share(count: int, top: int) -> float:
    """The height of a bar on a logarithmic scale on which a single one can still be seen."""
    return log_share(count, 0.5, top)


def _short(ms: int) -> str:
    return f"{ms // 1_000} s" if ms >= 1_000 else f"{ms} ms"


def anomaly(excerpt: Sequence[Shown]) -> str:
    """The calls around an anomaly side by side, each from its call to its end."""
    start = min(shown.from_ns for shown in excerpt)
    known = [shown.to_ns for shown in excerpt if shown.to_ns is not None]
    end = max([*known, *(shown.from_ns for shown in excerpt)])
    wide = max(end - start, 1)
    room = WIDTH - LEFT - RIGHT - 330
    plot = Plot(1.0, TOP + 26 * len(excerpt) + 10)
    for row, shown in enumerate(excerpt):
        y = TOP + 26 * row
        left = LEFT + 310 + (shown.from_ns - start) / wide * room
        until = shown.to_ns if shown.to_ns is not None else end + wide // 20
        right = LEFT + 310 + (until - start) / wide * room
        plot.text(LEFT - 8, y + 14, f"p{shown.process}", "tick end")
        plot.text(LEFT, y + 14, shown.text[:48], "label")
        words = f"{shown.from_ns / 1e6:.3f} ms: {shown.text} ({shown.outcome})"
        plot.rect(left, y + 2, max(right - left, 4), 16, f"call {shown.outcome}", words)
    return plot.render("the calls involved")
