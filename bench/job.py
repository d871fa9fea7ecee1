"""What a client process is told to do, and what it says afterwards. Both travel as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

GAP_MS = 5.0
PERCENTILES = (("p50_ms", 500), ("p99_ms", 990), ("p999_ms", 999))


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement.

    `driver` names the client code, `connect` is what its system says about where to connect.
    `name` makes queues and keys unlike those of any other job. Closed loop: `callers` callers each
    begin an operation when their last one has ended. Open loop, if `rate` > 0: operations begin at
    random moments, `rate` a second on average, whether or not earlier ones have ended.
    `count` > 0: so many units and then the end, instead of a time.
    """

    driver: str
    operation: str
    name: str
    connect: Mapping[str, str] = field(default_factory=dict)
    callers: int = 1
    batch: int = 1
    payload_bytes: int = 100
    warmup_s: float = 1.0
    duration_s: float = 5.0
    rate: float = 0.0
    count: int = 0
    seed: int = 1

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client process measured. `units`: tasks, keys or locks, whatever was counted;
    latencies are those of whole operations, by name of `PERCENTILES`."""

    units: int
    seconds: float
    operations: int
    latencies: Mapping[str, float]
    longest_gap_ms: float = 0.0  # closed loop: between the ends of two operations
    gaps: Sequence[Sequence[float]] = ()  # those of `GAP_MS` and more: (begin in s, length in ms)
    unfinished: int = 0  # open loop: begun in the window and not ended long after it

    @property
    def per_second(self) -> float:
        return self.units / self.seconds if self.seconds > 0 else 0.0

    def metrics(self) -> dict[str, float]:
        return {
            "per_second": self.per_second,
            **self.latencies,
            "longest_gap_ms": self.longest_gap_ms,
            "operations": self.operations,
            "unfinished": self.unfinished,
        }

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def percentile(ordered: Sequence[float], permille: int) -> float:
    """The nearest-rank percentile of values in ascending order; there must be one."""
    rank = -(-permille * len(ordered) // 1000)
    return ordered[max(rank, 1) - 1]


def latency_figures(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles and the largest, in milliseconds; nothing when there is no value."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    figures = {name: percentile(ordered, permille) * 1000 for name, permille in PERCENTILES}
    return figures | {"max_ms": ordered[-1] * 1000}
