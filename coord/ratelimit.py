"""A bound on log lines that somebody outside can cause: a token bucket for each kind of line.

The first lines of a kind are logged at once, the rest at a steady rate; what is left out is counted
and told with the next line of that kind, or by `overdue` when no more come. Pure: the clock is
given. Kinds are the program's own words, never text from outside, so their number is small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

BURST: Final = 5
INTERVAL_S: Final = 10.0
MAX_KINDS: Final = 256


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float
    suppressed: int = 0


class LogLimiter:
    """One for each logger. `clock`: seconds, never going back. `burst` lines of a kind are let
    through at once, then one every `interval_s`."""

    def __init__(
        self, clock: Callable[[], float], *, burst: int = BURST, interval_s: float = INTERVAL_S
    ) -> None:
        if burst < 1 or interval_s <= 0:
            raise ValueError("a limiter lets at least one line through, and more as time passes")
        self._clock = clock
        self._burst = burst
        self._interval_s = interval_s
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, kind: str) -> int | None:
        """None: leave this line out. Otherwise log it; the number tells how many lines of this kind
        were left out since the last one."""
        bucket = self._bucket(kind)
        if bucket.tokens < 1.0:
            bucket.suppressed += 1
            return None
        bucket.tokens -= 1.0
        suppressed, bucket.suppressed = bucket.suppressed, 0
        return suppressed

    def log(self, report: Callable[..., Any], event: str, *, kind: str = "", **fields: Any) -> None:
        """Call `report(event, **fields)` if the line is admitted, with the field `suppressed` where
        lines were left out. `kind` defaults to the event."""
        suppressed = self.admit(kind or event)
        if suppressed is None:
            return
        if suppressed:
            fields["suppressed"] = suppressed
        report(event, **fields)

    def overdue(self) -> dict[str, int]:
        """The kinds of which lines were left out and that may be logged again, with how many;
        they count as told. To be called from time to time, so that the end of a flood is told."""
        told = {}
        for kind in list(self._buckets):
            bucket = self._bucket(kind)
            if bucket.suppressed and bucket.tokens >= 1.0:
                bucket.tokens -= 1.0
                told[kind], bucket.suppressed = bucket.suppressed, 0
        return told

    def _bucket(self, kind: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(kind)
        if bucket is None:
            if len(self._buckets) >= MAX_KINDS:
                self._forget_one()
            bucket = self._buckets[kind] = _Bucket(float(self._burst), now)
        gained = (now - bucket.filled_at) / self._interval_s
        bucket.tokens = min(float(self._burst), bucket.tokens + gained)
        bucket.filled_at = now
        return bucket

    def _forget_one(self) -> None:
        """Make room: of those with nothing to tell, the one that was asked for longest ago; else of
        all."""
        idle = [kind for kind, one in self._buckets.items() if not one.suppressed]
        oldest = min(idle or self._buckets, key=lambda kind: self._buckets[kind].filled_at)
        del self._buckets[oldest]
