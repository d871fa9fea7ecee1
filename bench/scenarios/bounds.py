"""What one request costs at each documented maximum. It needs no cluster: it applies log entries to
a state machine of its own, in plain Python or compiled, as the tree was set up."""

from __future__ import annotations

from collections.abc import Mapping

from bench.bench import Bench, Metrics
from bench.bounds.measure import measure_all
from bench.bounds.world import World
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System

KEYS = 50_000
ROUNDS = 5


def _bounds(bench: Bench, system: System) -> Mapping[str, Metrics]:
    return {
        one.name: {"median_ms": one.median_ms, "worst_ms": one.worst_ms}
        for one in measure_all(World(KEYS), ROUNDS)
    }


SCENARIO = Scenario(
    "bounds",
    "Processor time of one request at its documented maximum: decoded and applied",
    "median_ms",
    "ms",
    ("worst_ms",),
    (Point("bounds", _bounds, frozenset(), own=True, only=frozenset({"coord"}), once=True),),
    higher_is_better=False,
)
