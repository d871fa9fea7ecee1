"""100 million tasks a day (1,157 a second) through clients in processes of their own, with the
leader killed again and again: nothing lost, nothing done twice, no backlog that stays, memory that
does not grow. Starts a cluster of its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.bench import Bench, ClientProcess, Metrics, client
from bench.errors import BenchError
from bench.job import GAP_MS, latency_figures, percentile
from bench.killer import Killer, distribution, gap_of_each_kill
from bench.scenarios.base import Point, Scenario
from bench.sustained import backlog, memory
from bench.sustained.book import Ledger
from bench.sustained.submitter import Plan
from bench.sustained.verdict import broken_promises
from bench.systems.base import System
from bench.systems.coord import CoordSystem
from coord.client.sync import Client

CLIENT = [sys.executable, "-m", "bench.sustained.process"]
QUEUE = "sustained"
WORKERS = 2
DRAIN_S = 60.0
LOOKS = 360  # at the memory of the nodes
STARTS_S = 60.0


def _sustained(bench: Bench, system: System) -> Mapping[str, Metrics]:
    assert isinstance(system, CoordSystem)
    timing = bench.timing
    plan = Plan(QUEUE, timing.task_rate, timing.sustained_s, DRAIN_S)
    folder = bench.new_directory("sustained")
    with bench.fresh(CoordSystem(system.nodes)) as own:
        assert isinstance(own, CoordSystem)
        run = _Run(own, plan, timing.kill_every_s, folder)
        run.perform()
        with Client(own.connect()["endpoints"], timeout_ms=30_000) as asked:
            queue = asked.queues.get(QUEUE)
    ledger = Ledger.read(sorted(folder.glob("*.book")))
    if broken := broken_promises(ledger, queue):
        raise BenchError("; ".join(broken))
    label = f"{timing.task_rate:,.0f} tasks/s for {timing.sustained_s:,.0f} s"
    return {label: run.figures(ledger)}


class _Run:
    """One run on a cluster that is up: its clients, its kills, its memory."""

    def __init__(self, system: CoordSystem, plan: Plan, kill_every_s: float, folder: Path) -> None:
        self._plan = plan
        self._system = system
        self._folder = folder
        # In the middle of its share of the time, so that nothing follows too soon on the last.
        self._killer = Killer(
            system,
            kills=max(int(plan.duration_s / kill_every_s), 1),
            every_s=kill_every_s,
            first_s=kill_every_s / 2,
            until_s=plan.duration_s,
        )
        self._memory = memory.MemoryWatch(
            lambda: system.cluster.pids, max(plan.duration_s / LOOKS, 0.2)
        )
        self._zero = 0.0
        self._end = 0.0

    def perform(self) -> None:
        plan = self._plan
        try:
            with ExitStack() as stack:
                for number in range(WORKERS):
                    self._start(stack, "worker", f"worker{number}")
                submitter = self._start(stack, "submitter", "submitter")
                self._zero = time.monotonic()
                self._killer.start()
                self._memory.start()
                submitter.expect("done", plan.duration_s + 2 * plan.drain_s + STARTS_S)
                self._end = time.monotonic()
        finally:
            self._killer.end()
            if self._memory.ident is not None:
                self._memory.end()
        self._killer.check()

    def _start(self, stack: ExitStack, role: str, name: str) -> ClientProcess:
        wanted: dict[str, Any] = {
            "role": role,
            "endpoints": self._system.connect()["endpoints"],
            "book": str(self._folder / f"{name}.book"),
            "plan": asdict(self._plan),
        }
        process = stack.enter_context(client(CLIENT, self._folder / f"{name}.log"))
        process.send(json.dumps(wanted))
        process.expect("ready", STARTS_S)
        return process

    def figures(self, ledger: Ledger) -> Metrics:
        """`drained`: from a kill until nothing was behind any more."""
        kills, duration_s = self._killer.at_s, self._plan.duration_s
        killed_at = [self._zero + at_s for at_s in kills]
        spans = backlog.spans_behind(ledger)
        drained = sorted(backlog.drained_s(killed_at, spans, self._end))
        write_gaps = backlog.gaps(ledger, self._zero, GAP_MS)
        taken = backlog.latencies_s(ledger, self._zero)
        return {
            "drained_p50_s": percentile(drained, 500),
            "drained_p90_s": percentile(drained, 900),
            "drained_worst_s": drained[-1],
            "behind_longest_s": max((end - begin for begin, end in spans), default=0.0),
            "per_second": len(taken) / duration_s,
            "tasks": len(taken),
            "refused": len(ledger.refused),
            "unknown": len(ledger.unsure),
            "lost": 0,  # otherwise there are no figures but an error that tells which
            **latency_figures(taken),
            **distribution(gap_of_each_kill(kills, write_gaps, duration_s)),
            **memory.summary(self._memory.looks),
            **{
                f"{node}_{name}": value
                for node, looks in sorted(self._memory.of_node.items())
                for name, value in memory.summary(looks).items()
            },
            "seconds": duration_s,
            "rate": self._plan.rate,
        }


SCENARIO = Scenario(
    "sustained",
    "Steady work, leaders killed: time from a kill until no task is late any more",
    "drained_worst_s",
    "worst s",
    (
        *("drained_p50_s", "kills", "tasks", "lost", "p99_ms", "gap_worst_ms"),
        *("memory_start_mb", "memory_middle_mb", "memory_end_mb"),
    ),
    (
        Point(
            "sustained",
            _sustained,
            frozenset({"fill"}),
            own=True,
            only=frozenset({"coord"}),
            once=True,
        ),
    ),
    higher_is_better=False,
)
