"""Scenarios about nodes that hold much: what snapshots, restarts, nodes that come back and leases
that end together cost them.

Each starts a cluster of its own, of nodes that watch their event loops. A pause is told by the
processor time it took, which other programs on the machine do not change, and by the wall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from bench.bench import Bench, Metrics
from bench.errors import BenchError
from bench.scenarios.base import Measure, Point, Scenario
from bench.state import scenarios as state
from bench.state.load import caller, fill
from bench.state.nodes import ProbedCluster
from bench.systems.base import System
from bench.systems.coord import CoordSystem
from bench.systems.probed import ProbedSystem

MOST_LEASES = 100_000
CLAIMED_PER_S = 10_000  # of those leases, at the least
AHEAD_S = 5.0

Look = Callable[[Bench, ProbedCluster], Awaitable[Mapping[str, Metrics]]]


def _with_state(look: Look, away: int = 0) -> Measure:
    """Looks at a cluster that holds many pending tasks; its last `away` nodes are down.
    One that has no majority without them is left out."""

    async def run(bench: Bench, cluster: ProbedCluster) -> Mapping[str, Metrics]:
        async with caller(cluster.leader().client) as calls:
            await fill(calls, state.PENDING, bench.timing.state_tasks, state.PAYLOAD_BYTES)
        return await look(bench, cluster)

    def measure(bench: Bench, system: System) -> Mapping[str, Metrics]:
        assert isinstance(system, CoordSystem)
        if system.nodes <= 2 * away:
            return {}
        with bench.fresh(ProbedSystem(system.nodes, state.NO_SNAPSHOTS, away)) as own:
            assert isinstance(own, ProbedSystem)
            try:
                return asyncio.run(run(bench, own.probed))
            except (TimeoutError, grpc.RpcError) as error:
                raise BenchError(str(error)) from error

    return measure


def _pause(figures: Mapping[str, Any], **more: float) -> Metrics:
    probe = figures["probe"]
    return {
        "pause_ms": probe["cpu_ms"],
        "pause_wall_ms": probe["wall_ms"],
        "submit_p99_ms": figures["submit_p99_ms"],
        "slowest_ms": figures["slowest_ms"],
        **more,
    }


async def _snapshot(bench: Bench, cluster: ProbedCluster) -> Mapping[str, Metrics]:
    found = await state.snapshot_under_load(cluster)
    label = f"while a snapshot of {bench.timing.state_tasks:,} tasks is taken"
    return {label: _pause(found, seconds=found["seconds"])}


async def _restart(bench: Bench, cluster: ProbedCluster) -> Mapping[str, Metrics]:
    """All nodes at once, from a snapshot and a log."""
    await state.snapshot_under_load(cluster)
    found = await state.restart(cluster, bench.timing.log_entries)
    label = f"{bench.timing.state_tasks:,} tasks, {found['entries']:,} entries"
    return {
        label: {
            "serving_s": found["serving_s"],
            "all_applied_s": found["all_applied_s"],
            "cpu_s": found["cpu_s"],
        }
    }


async def _expiry(bench: Bench, cluster: ProbedCluster) -> Mapping[str, Metrics]:
    leases = min(MOST_LEASES, bench.timing.state_tasks // 2)
    ended = await state.mass_expiry(cluster, leases, AHEAD_S + leases / CLAIMED_PER_S)
    session = await state.session_expiry(cluster, leases)
    return {
        label: _pause(found, seconds=found["returned_after_s"])
        for label, found in (
            (f"{leases:,} leases that end at one moment", ended),
            (f"a session with {leases:,} leases ends", session),
        )
    }


async def _rejoin(bench: Bench, cluster: ProbedCluster) -> Mapping[str, Metrics]:
    """A node that was away is sent the state; then a follower loads it from its own disk."""
    present = [node for node in cluster.nodes if node.process is not None]
    absent = cluster.nodes[-1]
    await state.snapshot_under_load(cluster, present)
    sent = await state.follower_is_sent_the_state(cluster, absent)
    loaded = await state.follower_loads(cluster)
    return {
        label: {"seconds": found["caught_up_s"], "elections": found["elections"]}
        for label, found in (
            (f"is sent {bench.timing.state_tasks:,} tasks", sent),
            ("loads them from its disk", loaded),
        )
    }


FILL = frozenset({"fill"})
COORD = frozenset({"coord"})
PAUSE_COLUMNS = ("pause_wall_ms", "submit_p99_ms", "slowest_ms", "seconds")
SCENARIOS = (
    Scenario(
        "snapshot",
        "Longest pause of the leader's loop, with calls coming in: snapshots",
        "pause_ms",
        "ms",
        PAUSE_COLUMNS,
        (Point("snapshot", _with_state(_snapshot), FILL, own=True, only=COORD, once=True),),
        higher_is_better=False,
    ),
    Scenario(
        "expiry",
        "Longest pause of the leader's loop, with calls coming in: mass expiry",
        "pause_ms",
        "ms",
        PAUSE_COLUMNS,
        (Point("expiry", _with_state(_expiry), FILL, own=True, only=COORD, once=True),),
        higher_is_better=False,
    ),
    Scenario(
        "restart",
        "Restart of all nodes at once, until a write is acknowledged",
        "serving_s",
        "s",
        ("all_applied_s", "cpu_s"),
        (Point("restart", _with_state(_restart), FILL, own=True, only=COORD, once=True),),
        higher_is_better=False,
    ),
    Scenario(
        "rejoin",
        "A node comes back under load, until it has caught up",
        "seconds",
        "s",
        ("elections",),
        (Point("rejoin", _with_state(_rejoin, away=1), FILL, own=True, only=COORD, once=True),),
        higher_is_better=False,
    ),
)
