"""Scenarios about a cluster that goes on: through the loss of its leaders, and under all the load
it can take. Each starts a cluster of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event, Thread

from scripts.lib.bench.bench import Bench, Metrics
from scripts.lib.bench.errors import BenchError
from scripts.lib.bench.job import Job, percentile
from scripts.lib.bench.scenarios.base import Point, Scenario
from scripts.lib.bench.systems.base import System
from scripts.lib.bench.systems.coord import CoordSystem
from scripts.lib.bench.systems.etcd import EtcdSystem
from scripts.lib.bench.systems.probed import ProbedSystem

WRITERS = 6
KILL_EVERY_S = 2.5
SETTLE_S = 0.5  # from the return of a node to the next kill, at least
SLACK_S = 0.5  # a kill, for machines on which nodes take longer to start
LAST_S = 3.0  # long enough after the last kill for its gap to be seen whole

Killable = CoordSystem | EtcdSystem


class _Killer(Thread):
    """Kills the leader, starts it again, and so on, until `kills` are done or the time is up.
    `at_s`: when each kill was begun, in seconds since `start`."""

    def __init__(self, system: Killable, kills: int, until_s: float) -> None:
        super().__init__(name="killer", daemon=True)
        self.at_s: list[float] = []
        self.error: Exception | None = None
        self._system = system
        self._kills = kills
        self._until_s = until_s
        self._ended = Event()

    def run(self) -> None:
        zero = time.monotonic()
        due_s = SETTLE_S
        try:
            for _ in range(self._kills):
                if self._ended.wait(max(due_s - (time.monotonic() - zero), 0.0)):
                    return
                at_s = time.monotonic() - zero
                if at_s > self._until_s:
                    return
                node = self._system.kill_leader()
                self.at_s.append(at_s)
                self._system.start_again(node)
                due_s = max(at_s + KILL_EVERY_S, time.monotonic() - zero + SETTLE_S)
        except Exception as error:  # told to the one who waits for the figures
            self.error = error

    def end(self) -> None:
        if self.ident is not None:
            self._ended.set()
            self.join()


def gap_of_each_kill(
    kills_at_s: Sequence[float], gaps: Sequence[Sequence[float]], until_s: float
) -> list[float]:
    """The longest gap, in ms, that began between a kill and the next one. BenchError if there is
    none: the leader can not have been killed."""
    longest = []
    for since, until in pairwise([*kills_at_s, until_s]):
        inside = [length_ms for begin_s, length_ms in gaps if since <= begin_s < until]
        if not inside:
            raise BenchError(f"writes went on after the kill at {since:.1f} s")
        longest.append(max(inside))
    return longest


def distribution(gaps_ms: Sequence[float]) -> Metrics:
    ordered = sorted(gaps_ms)
    return {
        "gap_min_ms": ordered[0],
        "gap_p50_ms": percentile(ordered, 500),
        "gap_p90_ms": percentile(ordered, 900),
        "gap_p99_ms": percentile(ordered, 990),
        "gap_worst_ms": ordered[-1],
        "kills": len(ordered),
    }


def _failover(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """SIGKILL to the leader under writers with a client each, again and again: for each kill the
    longest time in which none of them had a success."""
    kills = bench.timing.kills
    duration_s = kills * (KILL_EVERY_S + SLACK_S) + LAST_S
    own_system = CoordSystem(system.nodes) if isinstance(system, CoordSystem) else EtcdSystem()
    with bench.fresh(own_system) as own:
        job = bench.job(own, "steady_put", callers=WRITERS, duration_s=duration_s)
        killer = _Killer(own_system, kills, duration_s - LAST_S)
        try:
            outcome, _ = bench.watch(own, job, on_begin=killer.start)
        finally:
            killer.end()
    if killer.error is not None:
        raise BenchError(f"{own.label}: {killer.error}")
    if not killer.at_s:
        raise BenchError("the leader was not killed in time")
    gaps_ms = gap_of_each_kill(killer.at_s, outcome.gaps, duration_s)
    found = distribution(gaps_ms) | {"per_second": outcome.per_second}
    return {f"SIGKILL to the leader, {WRITERS} writers": found}


def _saturation(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """Two client processes with more callers than can be served at a time: does the leader keep
    its place? Pauses of the loops are those of all the nodes."""
    assert isinstance(system, CoordSystem)
    duration_s = bench.timing.saturation_s
    with bench.fresh(ProbedSystem(system.nodes)) as own:
        assert isinstance(own, ProbedSystem)
        jobs = [
            bench.job(own, operation, callers=callers, batch=batch, duration_s=duration_s)
            for operation, callers, batch in (("put", 512, 1), ("cycle", 32, 100))
        ]
        first_term = own.term()
        for node in own.probed.nodes:
            node.take()

        def work(job: Job) -> Metrics:
            return bench.run(own, job)

        with ThreadPoolExecutor(len(jobs)) as clients:
            puts, cycles = clients.map(work, jobs)
        probes = [node.take() for node in own.probed.nodes]
        last_term = own.term()
    return {
        f"saturated for {duration_s:,.0f} s": {
            "elections": last_term - first_term,
            "term_at_start": first_term,
            "term_at_end": last_term,
            "puts_per_second": puts["per_second"],
            "tasks_per_second": cycles["per_second"],
            "longest_gap_ms": puts["longest_gap_ms"],
            "pause_ms": max(probe["loop_ms"] for probe in probes),
            "pause_wall_ms": max(probe["wall_ms"] for probe in probes),
        }
    }


SCENARIOS = (
    Scenario(
        "failover",
        "Gap between successful writes when the leader is killed, by kill",
        "gap_p50_ms",
        "median ms",
        ("gap_min_ms", "gap_p90_ms", "gap_p99_ms", "gap_worst_ms", "kills", "per_second"),
        (
            Point(
                "failover",
                _failover,
                frozenset({"steady_put"}),
                own=True,
                only=frozenset({"coord", "etcd"}),
            ),
        ),
        higher_is_better=False,
    ),
    Scenario(
        "saturation",
        "Elections under all the load a cluster can take",
        "elections",
        "elections",
        (
            *("term_at_start", "term_at_end", "puts_per_second", "tasks_per_second"),
            *("longest_gap_ms", "pause_ms", "pause_wall_ms"),
        ),
        (
            Point(
                "saturation",
                _saturation,
                frozenset({"put", "cycle"}),
                own=True,
                only=frozenset({"coord"}),
            ),
        ),
        higher_is_better=False,
    ),
)
