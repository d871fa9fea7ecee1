"""The task cycle on clusters of several sizes, one cluster after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.bench import Bench, Metrics
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.systems.coord import CoordSystem

JOBS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("64 callers, 1 task a call", {"callers": 64}),
    ("16 callers, 32 tasks a call", {"callers": 16, "batch": 32}),
)


def _sizes(bench: Bench, system: System) -> Mapping[str, Metrics]:
    assert isinstance(system, CoordSystem)
    smallest, *_ = bench.timing.sizes
    found: dict[str, dict[int, Metrics]] = {label: {} for label, _ in JOBS}
    for size in bench.timing.sizes:
        with bench.fresh(CoordSystem(size)) as own:
            for label, values in JOBS:
                found[label][size] = bench.run(own, bench.job(own, "cycle", **values))
    return {
        f"{label}: {size} nodes": one
        | {"of_smallest": one["per_second"] / of_size[smallest]["per_second"]}
        for label, of_size in found.items()
        for size, one in of_size.items()
    }


SCENARIO = Scenario(
    "nodes",
    "Task cycle by number of nodes",
    "per_second",
    "tasks/s",
    ("of_smallest", "p50_ms", "p99_ms", "server_cores"),
    (Point("nodes", _sizes, frozenset({"cycle"}), own=True, only=frozenset({"coord"})),),
)
