"""Scenarios that put one kind of operation on a running system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.bench import Bench, Metrics
from bench.scenarios.base import Measure, Point, Scenario
from bench.systems.base import System

LATENCIES = ("p50_ms", "p99_ms", "p999_ms")
CORES = ("server_cores", "client_cores")
CYCLE_CALLERS = 64


def load(label: str, operation: str, **values: Any) -> Measure:
    """Runs this job and shows its figures under `label`."""

    def measure(bench: Bench, system: System) -> Mapping[str, Metrics]:
        return {label: bench.run(system, bench.job(system, operation, **values))}

    return measure


def _points(scenario: str, operation: str, *rows: tuple[str, dict[str, Any]]) -> tuple[Point, ...]:
    return tuple(
        Point(scenario, load(label, operation, **values), frozenset({operation}))
        for label, values in rows
    )


def _unbatched(bench: Bench, system: System) -> Mapping[str, Metrics]:
    found = bench.run(system, bench.job(system, "cycle", callers=CYCLE_CALLERS))
    bench.capacity[system.label] = found["per_second"]
    return {f"{CYCLE_CALLERS} callers, 1 task a call": found}


def _capacity(bench: Bench, system: System) -> float:
    """Measured once a run, for the rates of the open loop."""
    if system.label not in bench.capacity:
        _unbatched(bench, system)
    return bench.capacity[system.label]


def _at_share(percent: int) -> Measure:
    def measure(bench: Bench, system: System) -> Mapping[str, Metrics]:
        rate = _capacity(bench, system) * percent / 100
        found = bench.run(system, bench.job(system, "cycle", rate=rate))
        return {f"{percent} % of capacity": found | {"offered_per_second": rate}}

    return measure


def _unary_get(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """etcd's protocol against both: the client code is the same."""
    job = bench.job(system, "unary_get", driver="etcd", callers=64)
    return {"64 callers, etcd's protocol": bench.run(system, job)}


CYCLE = frozenset({"cycle"})
SCENARIOS = (
    Scenario(
        "cycle",
        "Task cycle (submit, claim, complete), one task a call",
        "per_second",
        "tasks/s",
        (*LATENCIES, *CORES),
        (
            Point("cycle", _unbatched, CYCLE),
            *_points("cycle", "cycle", ("1 caller", {"callers": 1})),
        ),
    ),
    Scenario(
        "batch",
        "Task cycle, many tasks a call",
        "per_second",
        "tasks/s",
        (*LATENCIES, *CORES),
        _points(
            "batch",
            "cycle",
            ("32 tasks a call, 16 callers", {"callers": 16, "batch": 32}),
            ("100 tasks a call, 16 callers", {"callers": 16, "batch": 100}),
        ),
    ),
    Scenario(
        "commit",
        "Latency of one durable write, one caller",
        "p50_ms",
        "ms",
        ("p99_ms", "p999_ms", "max_ms"),
        _points("commit", "put", ("put 100 B, 1 caller", {"callers": 1})),
        higher_is_better=False,
    ),
    Scenario(
        "open",
        "Task cycle at a fixed rate (latency from the moment it was due)",
        "p99_ms",
        "ms",
        ("p50_ms", "p999_ms", "offered_per_second", "unfinished"),
        tuple(Point("open", _at_share(percent), CYCLE) for percent in (50, 80)),
        higher_is_better=False,
    ),
    Scenario(
        "kv",
        "Key-value operations, 100 B",
        "per_second",
        "operations/s",
        (*LATENCIES, *CORES),
        (
            *_points("kv", "put", ("put, 64 callers", {"callers": 64})),
            *_points("kv", "put", ("put, 256 callers", {"callers": 256})),
            *_points("kv", "get", ("get, 1 caller", {"callers": 1})),
            *_points("kv", "get", ("get, 64 callers", {"callers": 64})),
            *_points("kv", "txn", ("compare and put, 64 callers", {"callers": 64})),
        ),
    ),
    Scenario(
        "unary",
        "Linearizable get through etcd's own protocol",
        "per_second",
        "operations/s",
        (*LATENCIES, *CORES),
        (Point("unary", _unary_get, frozenset({"unary_get"})),),
    ),
    Scenario(
        "lock",
        "Lock + unlock of a free lock",
        "per_second",
        "pairs/s",
        (*LATENCIES, *CORES),
        _points("lock", "lock", ("1 caller", {"callers": 1}), ("32 callers", {"callers": 32})),
    ),
    Scenario(
        "payload",
        "Task cycle by size of payload and result, 16 callers",
        "per_second",
        "tasks/s",
        LATENCIES,
        _points(
            "payload",
            "cycle",
            *(
                (label, {"callers": 16, "payload_bytes": size})
                for label, size in (
                    ("100 B", 100),
                    ("1 KiB", 1024),
                    ("16 KiB", 16 * 1024),
                    ("64 KiB", 64 * 1024),
                    ("256 KiB", 256 * 1024),
                )
            ),
        ),
    ),
)
