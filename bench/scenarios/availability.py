"""Scenarios about a cluster that goes on: through the loss of its leaders, and under all the load
it can take. Each starts a cluster of its own."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from bench.bench import Bench, Metrics
from bench.job import Job
from bench.killer import Killer, distribution, gap_of_each_kill
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.systems.coord import CoordSystem
from bench.systems.etcd import EtcdSystem
from bench.systems.probed import ProbedSystem

WRITERS = 6
KILL_EVERY_S = 2.5
SLACK_S = 0.5  # a kill, for machines on which nodes take longer to start
LAST_S = 3.0  # long enough after the last kill for its gap to be seen whole


def _failover(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """SIGKILL to the leader under writers with a client each, again and again: for each kill the
    longest time in which none of them had a success."""
    kills = bench.timing.kills
    duration_s = kills * (KILL_EVERY_S + SLACK_S) + LAST_S
    own_system = CoordSystem(system.nodes) if isinstance(system, CoordSystem) else EtcdSystem()
    with bench.fresh(own_system) as own:
        job = bench.job(own, "steady_put", callers=WRITERS, duration_s=duration_s)
        killer = Killer(own_system, kills=kills, every_s=KILL_EVERY_S, until_s=duration_s - LAST_S)
        try:
            outcome, _ = bench.watch(own, job, on_begin=killer.start)
        finally:
            killer.end()
    killer.check()
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
                once=True,
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
                once=True,
                only=frozenset({"coord"}),
            ),
        ),
        higher_is_better=False,
    ),
)
