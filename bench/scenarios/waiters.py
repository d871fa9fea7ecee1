"""Ten thousand waiters on one lock, which end together: how long is there no write meanwhile?"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict

from bench.bench import Bench, Metrics, client
from bench.errors import BenchError
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.systems.coord import CoordSystem
from bench.waiters_process import Plan

WAITERS = 10_000
WRITERS = 2
WAIT_S = 15.0
SOON_S = 1.0
PROCESS = [sys.executable, "-m", "bench.waiters_process"]
ENDS = ("their time is over", "their session is closed", "their client is killed")


class Waiting(threading.Thread):
    """The waiters, beside the writers."""

    def __init__(self, bench: Bench, endpoint: str, how: str) -> None:
        super().__init__(daemon=True)
        self._log = bench.directory / f"waiters-{ENDS.index(how)}.log"
        close_s = SOON_S if how == ENDS[1] else 0.0
        self._plan = Plan(endpoint, f"lock-{ENDS.index(how)}", WAITERS, WAIT_S, close_s)
        self._kill = how == ENDS[2]
        self.queued_s = 0.0
        self.error: BenchError | None = None

    def run(self) -> None:
        try:
            with client(PROCESS, self._log) as process:
                process.send(json.dumps(asdict(self._plan)))
                self.queued_s = float(process.expect("queued", WAIT_S))
                if self._kill:
                    os.kill(process.pid, signal.SIGKILL)
                else:
                    process.expect("ended", WAIT_S * 2)
        except BenchError as error:
            self.error = error


def _waiters(bench: Bench, system: System) -> Mapping[str, Metrics]:
    assert isinstance(system, CoordSystem)
    found: dict[str, Metrics] = {}
    for how in ENDS:
        with bench.fresh(CoordSystem(system.nodes)) as own:
            waiting = Waiting(bench, own.connect()["leader"], how)
            job = bench.job(own, "steady_put", callers=WRITERS, duration_s=WAIT_S + 5.0)
            outcome, _ = bench.watch(own, job, on_begin=waiting.start)
            waiting.join(WAIT_S)
            if waiting.error is not None:
                raise waiting.error
            found[f"{WAITERS:,} waiters end: {how}"] = {
                "longest_gap_ms": outcome.metrics()["longest_gap_ms"],
                "per_second": outcome.per_second,
                "queued_s": waiting.queued_s,
            }
    return found


SCENARIO = Scenario(
    "waiters",
    "Longest gap between writes while all who wait for one lock end together",
    "longest_gap_ms",
    "ms",
    ("per_second", "queued_s"),
    (
        Point(
            "waiters",
            _waiters,
            frozenset({"steady_put"}),
            own=True,
            once=True,
            only=frozenset({"coord"}),
        ),
    ),
    higher_is_better=False,
)
