"""Connected agents that wait for work, and what they cost."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping

from bench.bench import Bench, Metrics, client
from bench.place import cpu_seconds
from bench.scenarios.base import Point, Scenario
from bench.systems.base import System
from bench.systems.coord import CoordSystem

AGENTS = [sys.executable, "-m", "bench.agents_process"]
SHORTEST_S = 3.0
SETTLE_S = 3.0  # in which what starting and opening the sessions has caused comes to its end


def _agents(bench: Bench, system: System) -> Mapping[str, Metrics]:
    """CPU of each node while nothing happens, and the task cycle beside the waiting agents; each
    with a new cluster, so that no work of before is still being cleared up."""
    assert isinstance(system, CoordSystem)
    found = {"no agent": _beside(bench, CoordSystem(system.nodes), 0)}
    for count in bench.timing.agents:
        found[f"{count:,} agents"] = _beside(bench, CoordSystem(system.nodes), count)
    return found


def _beside(bench: Bench, system: CoordSystem, count: int) -> Metrics:
    with bench.fresh(system), client(AGENTS, bench.directory / "agents.log") as agents:
        endpoints = system.connect()["endpoints"]
        agents.send(json.dumps({"endpoints": endpoints, "agents": count}))
        agents.expect("ready", 120)
        idle = _idle(bench, system)
        cycle = bench.run(system, bench.job(system, "cycle", callers=64))
        return idle | {"per_second": cycle["per_second"]}


def _idle(bench: Bench, system: CoordSystem) -> Metrics:
    """Percent of a core, of the busiest node and of all the nodes."""
    pids = system.pids()
    time.sleep(SETTLE_S)
    before, start = [cpu_seconds([pid]) for pid in pids], time.monotonic()
    time.sleep(max(2 * bench.timing.duration_s, SHORTEST_S))
    seconds = time.monotonic() - start
    used = [100 * (cpu_seconds([pid]) - b) / seconds for pid, b in zip(pids, before, strict=True)]
    return {"busiest_node_percent": max(used), "all_nodes_percent": sum(used)}


SCENARIO = Scenario(
    "agents",
    "Idle CPU of a node with connected agents, and the task cycle beside them",
    "busiest_node_percent",
    "% of a core",
    ("all_nodes_percent", "per_second"),
    (Point("agents", _agents, frozenset({"hold"}), only=frozenset({"coord"}), once=True),),
    higher_is_better=False,
)
