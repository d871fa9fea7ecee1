"""A node with a million pending tasks: snapshots, restart, memory, speed, mass expiry.

    python scripts/lib/big_state.py --tasks 1000000 [--nodes 1,3] [--json FILE]

Starts real clusters in a temporary directory, prints what was measured and a verdict for each goal.
Exit 0 only if every goal that was measured holds. Pauses and costs are judged by processor time,
which other programs on the machine do not change; wall times are printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.lib.bench_state import scenarios
from scripts.lib.bench_state.nodes import ProbedCluster

LOG_ENTRIES = 100_000
MAX_PAUSE_MS = 50.0
MAX_RESTART_S = 20.0
MAX_BYTES_PER_TASK = 1_024
MAX_SLOWDOWN = 1.5

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal and what was measured; `detail` is for people."""

    goal: str
    measured: float
    limit: float
    detail: str = ""

    @property
    def holds(self) -> bool:
        return self.measured <= self.limit


async def measure(nodes: int, tasks: int, seconds: float) -> Figures:
    """All figures of a cluster of `nodes`."""
    expiring = min(100_000, tasks // 2)
    found: Figures = {}
    with tempfile.TemporaryDirectory(prefix="big-state-") as folder:
        cluster = scenarios.big_cluster(Path(folder), nodes)
        try:
            if nodes == 1:
                await _measure_one(cluster, found, tasks, expiring, seconds)
            else:
                await _measure_several(cluster, found, tasks, expiring, seconds)
        finally:
            cluster.kill_all()
            for node in cluster.nodes:
                _show_errors(node.folder / "node.log")
    return found


async def _measure_one(
    cluster: ProbedCluster, found: Figures, tasks: int, expiring: int, seconds: float
) -> None:
    cluster.start_all()
    found["load"] = _shown("load", await scenarios.empty_and_full(cluster, tasks, seconds))
    found["snapshot"] = _shown("snapshot", await scenarios.snapshot_under_load(cluster))
    found["restart"] = _shown("restart", await scenarios.restart(cluster, LOG_ENTRIES))
    found["session"] = _shown("session", await scenarios.session_expiry(cluster, expiring))
    found["leases"] = _shown("leases", await scenarios.mass_expiry(cluster, expiring))


async def _measure_several(
    cluster: ProbedCluster, found: Figures, tasks: int, expiring: int, seconds: float
) -> None:
    """The last node is away while the state grows, and is sent a snapshot of it in the end."""
    absent = cluster.nodes[-1]
    for node in cluster.nodes[:-1]:
        cluster.start(node)
    found["load"] = _shown("load", await scenarios.empty_and_full(cluster, tasks, seconds))
    found["snapshot"] = _shown(
        "snapshot", await scenarios.snapshot_under_load(cluster, cluster.nodes[:-1])
    )
    found["sent"] = _shown("sent", await scenarios.follower_is_sent_the_state(cluster, absent))
    found["loads"] = _shown("loads", await scenarios.follower_loads(cluster))
    found["leases"] = _shown("leases", await scenarios.mass_expiry(cluster, expiring))


def judge(nodes: int, found: Figures) -> list[Verdict]:
    """The goals that these figures speak about."""
    load, where = found["load"], f"{nodes} node{'s' * (nodes > 1)}: "
    empty, full = load["empty"], load["full"]
    ratio = full["cpu_ms_per_1000"] / empty["cpu_ms_per_1000"]
    wall = empty["cycles_per_s"] / full["cycles_per_s"]
    verdicts = [
        _pause(where, "snapshot", found["snapshot"]),
        Verdict(
            f"{where}bytes per pending task beside its payload",
            load["bytes_beside_payload"],
            MAX_BYTES_PER_TASK,
        ),
        Verdict(
            f"{where}cost of a cycle, full against empty",
            round(ratio, 2),
            MAX_SLOWDOWN,
            f"by the wall {wall:.2f}; {full['cycles_per_s']} and {empty['cycles_per_s']} cycles/s",
        ),
        _pause(where, "leases that end together", found["leases"]),
    ]
    if "restart" in found:
        restart = found["restart"]
        verdicts += [
            Verdict(
                f"{where}restart until it serves, s",
                restart["serving_s"],
                MAX_RESTART_S,
                f"{restart['cpu_s']} s of processor time, {restart['entries']} log entries",
            ),
            _pause(where, "end of a session with many tasks", found["session"]),
        ]
    for name, what in (("sent", "is sent the state"), ("loads", "restarts")):
        if name in found:
            figures = found[name]
            verdicts.append(
                Verdict(
                    f"{where}elections while a follower {what}",
                    figures["elections"],
                    0,
                    f"caught up after {figures['caught_up_s']} s",
                )
            )
    return verdicts


def _pause(where: str, what: str, figures: Figures) -> Verdict:
    probe = figures["probe"]
    return Verdict(
        f"{where}longest pause of the loop, {what}, ms",
        round(probe["cpu_ms"], 1),
        MAX_PAUSE_MS,
        f"by the wall {probe['wall_ms']:.1f} ms; calls p99 {figures['submit_p99_ms']} ms, "
        f"slowest {figures['slowest_ms']} ms",
    )


def _shown(name: str, figures: Figures) -> Figures:
    print(f"  {name}: {json.dumps(figures)}", flush=True)
    return figures


def _show_errors(path: Path) -> None:
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if text:
            print(f"{path.parent.name} printed:\n{text[-2_000:]}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--nodes", default="1,3", help="cluster sizes, such as 1,3")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one look at speed")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    results: Figures = {"tasks": args.tasks}
    verdicts: list[Verdict] = []
    for nodes in (int(one) for one in args.nodes.split(",")):
        print(f"{nodes} node{'s' * (nodes > 1)}, {args.tasks} tasks", flush=True)
        found = asyncio.run(measure(nodes, args.tasks, args.seconds))
        results[str(nodes)] = found
        verdicts += judge(nodes, found)
    for one in verdicts:
        mark = "holds" if one.holds else "FAILS"
        print(f"{mark}  {one.goal}: {one.measured} (at most {one.limit:g})  {one.detail}")
    results["verdicts"] = [
        {"goal": v.goal, "measured": v.measured, "limit": v.limit, "holds": v.holds}
        for v in verdicts
    ]
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0 if all(one.holds for one in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
