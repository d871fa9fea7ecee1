"""When the cluster took writes, from the times at which the probe's writes succeeded: the share of
short windows with such a time, and how long the times without one were, the edges included."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WINDOW_MS = 100
BOUNDS_MS = (0, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Bin:
    """Gaps from one length to below another (None: any longer one), and how long they took all
    together."""

    from_ms: int
    to_ms: int | None
    count: int
    total_ms: int


@dataclass(frozen=True, slots=True)
class Availability:
    """`share`: of windows of 100 ms with a successful write. `gaps_ms`: sorted by length."""

    share: float
    windows: int
    gaps_ms: tuple[float, ...]

    @property
    def longest_ms(self) -> int:
        return round(self.gaps_ms[-1])

    def quantile_ms(self, share: float) -> float:
        """That share of the gaps are no longer."""
        return self.gaps_ms[min(int(len(self.gaps_ms) * share), len(self.gaps_ms) - 1)]

    def histogram(self) -> list[Bin]:
        found = []
        for low, high in itertools.pairwise((*BOUNDS_MS, None)):
            assert low is not None
            until = len(self.gaps_ms) if high is None else bisect_left(self.gaps_ms, high)
            among = self.gaps_ms[bisect_left(self.gaps_ms, low) : until]
            found.append(Bin(low, high, len(among), round(sum(among))))
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            "window_ms": WINDOW_MS,
            "windows": self.windows,
            "share": round(self.share, 4),
            "write_gaps": {
                "count": len(self.gaps_ms),
                **{f"p{q * 100:g}_ms": round(self.quantile_ms(q), 1) for q in QUANTILES},
                "longest_ms": self.longest_ms,
                "histogram": [
                    {
                        "from_ms": one.from_ms,
                        "to_ms": one.to_ms,
                        "count": one.count,
                        "total_ms": one.total_ms,
                    }
                    for one in self.histogram()
                ],
            },
        }


def availability(success_ns: Sequence[int], since_ns: int, until_ns: int) -> Availability:
    """Of a time, from when writes succeeded, in order. A last window that is cut off counts for
    nothing."""
    width = WINDOW_MS * 1_000_000
    windows = max(1, (until_ns - since_ns) // width)
    hit = {(t - since_ns) // width for t in success_ns if since_ns <= t < until_ns}
    share = len([n for n in hit if n < windows]) / windows
    return Availability(share, windows, tuple(sorted(gaps_ms(success_ns, since_ns, until_ns))))


def gaps_ms(success_ns: Sequence[int], since_ns: int, until_ns: int) -> list[float]:
    """Every time without a success within this time, in order."""
    low, high = bisect_left(success_ns, since_ns), bisect_right(success_ns, until_ns)
    points = [since_ns, *success_ns[low:high], max(since_ns, until_ns)]
    return [(b - a) / 1e6 for a, b in itertools.pairwise(points)]


def availability_within(
    success_ns: Sequence[int],
    since_ns: int,
    until_ns: int,
    spans: Sequence[tuple[int, int]],
) -> tuple[float | None, int, float | None, int]:
    """(share of windows with a success, milliseconds) of the windows that touch one of the spans,
    and then of all the others."""
    width = WINDOW_MS * 1_000_000
    hit = {(t - since_ns) // width for t in success_ns if since_ns <= t < until_ns}
    inside: list[bool] = []
    outside: list[bool] = []
    for n in range(max(0, (until_ns - since_ns) // width)):
        start = since_ns + n * width
        touched = any(start < end and begin < start + width for begin, end in spans)
        (inside if touched else outside).append(n in hit)
    return (*_share(inside), *_share(outside))


def _share(windows: Sequence[bool]) -> tuple[float | None, int]:
    if not windows:
        return None, 0
    return sum(windows) / len(windows), len(windows) * WINDOW_MS
