"""Scenarios about what a cluster holds: queue depth, memory, snapshots, restart, loss of a leader.

Each starts a cluster of its own, because what it leaves behind would change other figures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from scripts.lib.bench.bench import CLIENT, Bench, Metrics, client
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.place import memory_bytes
from scripts.lib.bench.scenarios.base import Point, Scenario
from scripts.lib.bench.systems.base import System
from scripts.lib.bench.systems.coord import CoordSystem
from scripts.lib.bench.systems.etcd import EtcdSystem

PAYLOAD_BYTES = 100
FILL_BATCH = 500
MEMORY_OBJECTS = 20_000
PROBES_PER_SECOND = 500
KILL_AFTER_S = 1.0
RECOVERY_S = 6.0
SNAPSHOT_ENTRIES = 100  # so few that several snapshots are taken


def _anew(system: System) -> System:
    return CoordSystem(system.nodes) if isinstance(system, CoordSystem) else type(system)()


def _fill(bench: Bench, system: System, name: str, tasks: int) -> None:
    batch = min(tasks, FILL_BATCH)
    if batch > 0:
        job = bench.job(system, "fill", name=name, batch=batch, count=tasks // batch, callers=4)
        bench.run(system, job)


def _depth(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """The same queue, deeper and deeper; the cycle claims its oldest tasks."""
    found: dict[str, Metrics] = {}
    with bench.fresh(_anew(system)) as own:
        there, name = 0, "depth"
        for pending in bench.timing.pending:
            _fill(bench, own, name, pending - there)
            there = pending
            job = bench.job(own, "cycle", name=name, callers=64)
            found[f"{pending:,} pending"] = bench.run(own, job)
    return found


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


def _recovery(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """SIGKILL to the leader under six writers: the longest gap between two successes."""
    with bench.fresh(_anew(system)) as own:
        assert isinstance(own, (CoordSystem, EtcdSystem))
        job = bench.job(own, "steady_put", callers=6, duration_s=RECOVERY_S)
        killed_at: list[float] = []

        def kill() -> None:
            own.kill_leader()
            killed_at.append(time.monotonic())

        killer = threading.Timer(KILL_AFTER_S, kill)
        begun: list[float] = []

        def begin() -> None:
            begun.append(time.monotonic())
            killer.start()

        try:
            found = bench.run(own, job, on_begin=begin)
        finally:
            killer.cancel()
            if begun:
                killer.join()
        # Long enough before the end of the window for a gap to be seen whole.
        if not killed_at or killed_at[0] > begun[0] + RECOVERY_S / 2:
            raise BenchError("the leader was not killed in time")
    return {"SIGKILL to the leader, 6 writers": found}


def _restart(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """From the start of the process until it serves, with all that state to load."""
    tasks = bench.timing.state_tasks
    with bench.fresh(_anew(system)) as own:
        assert isinstance(own, CoordSystem)
        _fill(bench, own, "state", tasks)
        node = next(n for n in own.cluster.node_ids if n != own.cluster.leader())
        own.cluster.stop(node)
        start = time.monotonic()
        own.cluster.start(node)
        return {f"a node with {tasks:,} tasks": {"seconds": time.monotonic() - start}}


def _snapshot(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """How long the leader's loop stands still while it takes snapshots: reads that need nothing but
    the loop come in all the time, while writers make it take snapshots."""
    tasks = bench.timing.state_tasks
    nodes = system.nodes if isinstance(system, CoordSystem) else 3
    own_system = CoordSystem(nodes, {"snapshot_entries": SNAPSHOT_ENTRIES})
    with bench.fresh(own_system) as own:
        _fill(bench, own, "state", tasks)
        before = _snapshots(own_system)
        duration_s = max(bench.timing.duration_s, 3.0)
        writers = bench.job(own, "put", callers=1, warmup_s=0, duration_s=duration_s + 2)
        with client(CLIENT, bench.directory / "writers.log") as writing:
            writing.send(writers.to_json())
            writing.expect("phase", 60)
            probe = bench.job(
                own, "probe", driver="etcd", rate=PROBES_PER_SECOND, duration_s=duration_s
            )
            found = bench.run(own, probe)
            writing.expect("outcome", 60)
        taken = _snapshots(own_system) - before
    if taken <= 0:
        raise BenchError("no snapshot was taken meanwhile")
    return {f"snapshots of {tasks:,} tasks": found}


def _snapshots(system: CoordSystem) -> int:
    """When the newest snapshot of the leader was written; 0 = there is none."""
    folder = system.cluster.data_directory(system.cluster.leader() or "n1") / "snapshots"
    return max((path.stat().st_mtime_ns for path in folder.iterdir()), default=0)


COORD = frozenset({"coord"})
SCENARIOS = (
    Scenario(
        "depth",
        "Task cycle on a deep queue, 64 callers",
        "per_second",
        "tasks/s",
        ("p50_ms", "p99_ms", "server_cores"),
        (
            Point(
                "depth",
                _depth,
                frozenset({"cycle", "fill"}),
                own=True,
                only=frozenset({"coord", "postgres"}),
            ),
        ),
    ),
    Scenario(
        "memory",
        "Memory of a node per object, its payload taken off",
        "bytes_each",
        "bytes",
        ("objects",),
        (Point("memory", _memory, frozenset({"hold"}), own=True, only=COORD),),
        higher_is_better=False,
    ),
    Scenario(
        "recovery",
        "Longest gap between successful writes",
        "longest_gap_ms",
        "ms",
        ("p50_ms", "per_second"),
        (
            Point(
                "recovery",
                _recovery,
                frozenset({"steady_put"}),
                own=True,
                only=frozenset({"coord", "etcd"}),
            ),
        ),
        higher_is_better=False,
    ),
    Scenario(
        "restart",
        "Restart of a node",
        "seconds",
        "s",
        (),
        (Point("restart", _restart, frozenset({"fill"}), own=True, only=COORD),),
        higher_is_better=False,
    ),
    Scenario(
        "snapshot",
        "Longest wait for the serving loop while snapshots are taken",
        "max_ms",
        "ms",
        ("p50_ms", "p99_ms", "p999_ms"),
        (Point("snapshot", _snapshot, frozenset({"fill"}), own=True, only=COORD),),
        higher_is_better=False,
    ),
)
