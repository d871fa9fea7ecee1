"""No-op tasks through the whole of a framework: its client, and its workers in other processes."""

from __future__ import annotations

from collections.abc import Mapping

from bench.bench import Bench, Metrics
from bench.scenarios.base import Measure, Point, Scenario
from bench.systems.base import System

FIRST_TASKS = 50
SLOTS = (1, 8, 32, 64)
MOST_TASKS = 50_000


def through_workers(bench: Bench, system: System, slots: int) -> Metrics:
    """Tasks a second, by a run that is about as long as any other point."""
    directory = bench.new_directory("workers")
    with system.workers(slots, directory.name, directory) as more:
        connect = {**system.connect(), **more}

        def run(tasks: int) -> Metrics:
            job = bench.job(system, "end_to_end", connect=connect, batch=tasks, count=1, callers=1)
            return bench.run(system, job)

        run(FIRST_TASKS)  # the workers have come up
        rate = run(FIRST_TASKS * 2)["per_second"]
        tasks = int(min(max(rate * bench.timing.duration_s, FIRST_TASKS), MOST_TASKS))
        found = run(tasks)
    return {k: v for k, v in found.items() if not k.endswith("_ms")} | {"tasks": tasks}


def _with_slots(slots: int) -> Measure:
    def measure(bench: Bench, system: System) -> Mapping[str, Metrics]:
        return {f"{slots} slots": through_workers(bench, system, slots)}

    return measure


SCENARIO = Scenario(
    "end-to-end",
    "No-op tasks through client and worker processes",
    "per_second",
    "tasks/s",
    ("tasks", "server_cores", "client_cores"),
    tuple(Point("end-to-end", _with_slots(slots), frozenset({"end_to_end"})) for slots in SLOTS),
)
