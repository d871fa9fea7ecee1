"""What the things a cluster holds cost in memory. Each kind is put on a cluster of its own."""

from __future__ import annotations

from collections.abc import Mapping

from bench.bench import Bench, Metrics
from bench.place import memory_bytes
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.systems.coord import CoordSystem

PAYLOAD_BYTES = 100
FILL_BATCH = 500
MEMORY_OBJECTS = 20_000


def _memory(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """Growth of the leader's memory by what it holds, payloads taken off."""
    found: dict[str, Metrics] = {}
    held = (
        ("pending task", "fill", MEMORY_OBJECTS, PAYLOAD_BYTES),
        ("claimed task", "take", MEMORY_OBJECTS, PAYLOAD_BYTES),
        ("lock", "hold", MEMORY_OBJECTS, 0),
    )
    for label, operation, count, payload_bytes in held:
        with bench.fresh(CoordSystem(1)) as own:
            assert isinstance(own, CoordSystem)
            batch = 1 if operation == "hold" else FILL_BATCH
            values = {"batch": batch, "payload_bytes": payload_bytes}
            # The first ones pay for buffers and caches that the others share.
            warm = bench.job(own, operation, count=2 * FILL_BATCH // batch, callers=4, **values)
            bench.run(own, warm)
            before = memory_bytes(own.leader_pid())
            job = bench.job(own, operation, count=count // batch, callers=8, **values)
            bench.run(own, job)
            grown = memory_bytes(own.leader_pid()) - before
            found[label] = {"bytes_each": grown / count - payload_bytes, "objects": count}
    return found


COORD = frozenset({"coord"})
SCENARIO = Scenario(
    "memory",
    "Memory of a node per object, its payload taken off",
    "bytes_each",
    "bytes",
    ("objects",),
    (Point("memory", _memory, frozenset({"hold"}), own=True, only=COORD, once=True),),
    higher_is_better=False,
)
