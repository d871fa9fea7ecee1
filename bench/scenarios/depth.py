"""The headline figures on a queue with so many tasks before what is measured, and how much slower
they are than on an empty one. Starts a cluster of its own, which it leaves full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.bench import Bench, Metrics
from bench.place import memory_bytes
from bench.scenarios.base import Point, Scenario
from bench.scenarios.end_to_end import through_workers
from bench.systems.base import System
from bench.systems.coord import CoordSystem

QUEUE = "depth"
PAYLOAD_BYTES = 100
FILL_BATCH = 500
SLOTS = 64
HALF = 0.5  # of the rate with 64 callers on the empty queue
CYCLE = "cycle, 64 callers"
# Row, operation, job, and the figure that must not get worse. The cycle claims the oldest tasks of
# the deep queue itself.
FIGURES: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    (CYCLE, "cycle", {"name": QUEUE, "callers": 64}, "per_second"),
    ("cycle, 32 tasks a call", "cycle", {"name": QUEUE, "callers": 16, "batch": 32}, "per_second"),
    (
        "cycle, 100 tasks a call",
        "cycle",
        {"name": QUEUE, "callers": 16, "batch": 100},
        "per_second",
    ),
    ("cycle at 50 % of capacity", "cycle", {"name": QUEUE}, "p99_ms"),
    ("put, 1 caller", "put", {}, "p50_ms"),
    ("get, 64 callers", "get", {"callers": 64}, "per_second"),
    ("lock + unlock, 1 caller", "lock", {}, "p50_ms"),
    ("lock + unlock, 32 callers", "lock", {"callers": 32}, "per_second"),
)
END_TO_END = f"end to end, {SLOTS} slots"


def _anew(system: System) -> System:
    return CoordSystem(system.nodes) if isinstance(system, CoordSystem) else type(system)()


def _fill(bench: Bench, system: System, tasks: int) -> None:
    batch = min(tasks, FILL_BATCH)
    if batch > 0:
        values = {"name": QUEUE, "batch": batch, "count": tasks // batch, "callers": 4}
        bench.run(system, bench.job(system, "fill", **values))


def _depth(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """The same queue, deeper and deeper: all figures at both ends, the cycle at each step."""
    found: dict[str, Metrics] = {}
    with bench.fresh(_anew(system)) as own:
        empty: dict[str, Metrics] = {}
        there, grown = 0, 0
        for pending in bench.timing.pending:
            before = _largest(own)
            _fill(bench, own, pending - there)
            bench.settle(own)
            grown += _largest(own) - before
            there = pending
            everything = pending in {bench.timing.pending[0], bench.timing.pending[-1]}
            now = _figures(bench, own, empty, everything=everything)
            if empty:
                now = {name: one | _slower(name, empty[name], one) for name, one in now.items()}
                if isinstance(own, CoordSystem):
                    now[CYCLE] |= {"bytes_each": grown / pending - PAYLOAD_BYTES}
            else:
                empty = now
            found |= {f"{pending:,} pending: {name}": one for name, one in now.items()}
    return found


def _largest(system: System) -> int:
    """Memory of the node that has most."""
    return max(memory_bytes(pid) for pid in system.pids())


def _figures(
    bench: Bench, system: System, empty: Mapping[str, Metrics], *, everything: bool
) -> dict[str, Metrics]:
    found: dict[str, Metrics] = {}
    for name, operation, values, figure in FIGURES if everything else FIGURES[:1]:
        job = bench.job(system, operation, **values)
        if figure == "p99_ms":
            rate = HALF * (empty or found)[CYCLE]["per_second"]
            job = bench.job(system, operation, rate=rate, **values)
        found[name] = bench.run(system, job)
    if everything and "end_to_end" in system.operations:
        found[END_TO_END] = through_workers(bench, system, SLOTS)
    return found


def _slower(name: str, empty: Metrics, now: Metrics) -> Metrics:
    """How many times worse than on the empty queue: 1 = the same."""
    figure = next((figure for row, _, _, figure in FIGURES if row == name), "per_second")
    if not empty[figure] or not now[figure]:
        return {}
    worse = now[figure] / empty[figure]
    return {"times_slower": 1 / worse if figure == "per_second" else worse}


SCENARIO = Scenario(
    "depth",
    "Headline figures on a deep queue",
    "per_second",
    "per second",
    ("p50_ms", "p99_ms", "times_slower", "bytes_each"),
    (
        Point(
            "depth",
            _depth,
            frozenset({"cycle", "fill"}),
            own=True,
            only=frozenset({"coord", "postgres"}),
            once=True,
        ),
    ),
)
