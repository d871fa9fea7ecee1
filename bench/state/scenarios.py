"""The measurements. Each returns plain figures, in the words of the probe and of the load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bench.state.load import Caller, Cycles, caller, in_parallel
from bench.state.nodes import ProbedCluster, ProbedNode
from coord.pb import task_pb2 as task

Figures = dict[str, Any]

PENDING = "pending"
BUSY = "busy"
PAYLOAD_BYTES = 100
_NEVER = 100_000_000
_SOON = 500  # log entries: a second or two of load
NO_SNAPSHOTS = {"snapshot_entries": _NEVER, "snapshot_bytes": 1 << 40}


async def snapshot_under_load(
    cluster: ProbedCluster, nodes: Sequence[ProbedNode] | None = None
) -> Figures:
    """Restart the nodes (these, or all) so that snapshots are due, and look at the leader's loop.

    The log is cut short behind the snapshot, so that a node that was away needs it."""
    status = cluster.leader().status()
    due = _SOON + (status.log_last_index if status is not None else 0)
    cluster.kill_all()
    for one in nodes or cluster.nodes:
        cluster.start(one, snapshot_entries=due, keep_entries=1)
    node = cluster.leader()
    async with caller(node.client) as calls:
        await until_applied(cluster, node)
        before = _snapshot_index(node)
        load = Cycles(calls, BUSY)
        node.take()
        running = asyncio.create_task(load.run())
        began = time.monotonic()
        await _until(lambda: _is(_snapshot_index(node) > before))
        took_s = time.monotonic() - began
        probe = node.take()
        load.stop()
        figures = await running
    return {"seconds": round(took_s, 2), "probe": probe, **figures.summary()}


async def restart(cluster: ProbedCluster, entries: int) -> Figures:
    """Write `entries` log entries behind the latest snapshot, kill, restart, until it serves."""
    cluster.kill_all()
    cluster.start_all(max_entry_requests=1, pipeline=64)
    node = cluster.leader()
    await until_applied(cluster, node)
    status = node.status()
    first = status.log_last_index if status is not None else 0
    async with caller(node.client) as calls:
        request = task.SubmitRequest(tasks=[task.TaskSpec(queue=BUSY, payload=b"x" * 64)])

        async def submit() -> None:
            await calls.submit(request)

        await in_parallel(64, [submit] * entries)
    status = node.status()
    written = (status.log_last_index if status is not None else 0) - first
    cluster.kill_all()
    began = time.monotonic()
    for one in cluster.nodes:
        cluster.start(one)
    node = cluster.leader()
    async with caller(node.client) as calls:
        await calls.submit(request)
        serving_s = time.monotonic() - began
        await until_applied(cluster, node)
        applied_s = time.monotonic() - began
        queue = await calls.queue(PENDING)
    return {
        "entries": written,
        "serving_s": round(serving_s, 2),
        "all_applied_s": round(applied_s, 2),
        "cpu_s": round(node.cpu_s(), 2),
        "pending": queue.ready,
        "rss_bytes": node.take()["rss_bytes"],
    }


async def mass_expiry(cluster: ProbedCluster, leases: int, ahead_s: float = 15.0) -> Figures:
    """Claim `leases` tasks in one session whose leases end at one moment; the loop around it."""
    node = cluster.leader()
    async with caller(node.client) as calls:
        session_id = await calls.open_session()
        ends = time.monotonic() + ahead_s
        for _ in range(0, leases, 1_000):
            ttl_ms = int((ends - time.monotonic()) * 1e3)
            await calls.claim_tasks(session_id, PENDING, 1_000, ttl_ms)
        claimed = (await calls.queue(PENDING)).claimed
        spare_s = ends - time.monotonic()
        load = Cycles(calls, BUSY)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(max(0.0, spare_s - 1))
        node.take()
        await _until(lambda: _none_claimed(calls))
        returned_s = time.monotonic() - ends
        probe = node.take()
        load.stop()
        figures = await running
    return {
        "claimed": claimed,
        "spare_s": round(spare_s, 1),
        "returned_after_s": round(returned_s, 2),
        "probe": probe,
        **figures.summary(),
    }


async def session_expiry(cluster: ProbedCluster, leases: int) -> Figures:
    """One session holds `leases` tasks and ends."""
    node = cluster.leader()
    async with caller(node.client) as calls:
        session_id = await calls.open_session(3_000)
        for _ in range(0, leases, 1_000):
            await calls.claim_tasks(session_id, PENDING, 1_000)
        load = Cycles(calls, BUSY)
        running = asyncio.create_task(load.run())
        node.take()
        began = time.monotonic()
        await _until(lambda: _none_claimed(calls))
        took_s = time.monotonic() - began
        probe = node.take()
        load.stop()
        figures = await running
    return {"returned_after_s": round(took_s, 2), "probe": probe, **figures.summary()}


async def follower_loads(cluster: ProbedCluster) -> Figures:
    """A follower comes back and loads its state from disk, under load: does the term stay?"""
    node = cluster.leader()
    follower = next(one for one in cluster.nodes if one is not node)
    term = _term(node)
    follower.kill()
    async with caller(node.client) as calls:
        load = Cycles(calls, BUSY)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(1)
        began = time.monotonic()
        cluster.start(follower)
        await until_applied(cluster, follower, of=node)
        took_s = time.monotonic() - began
        load.stop()
        figures = await running
    return {
        "caught_up_s": round(took_s, 2),
        "elections": _term(node) - term,
        **figures.summary(),
    }


async def follower_is_sent_the_state(cluster: ProbedCluster, absent: ProbedNode) -> Figures:
    """`absent` was down while all of it happened: it is sent a snapshot while it serves."""
    node = cluster.leader()
    term = _term(node)
    async with caller(node.client) as calls:
        load = Cycles(calls, BUSY)
        running = asyncio.create_task(load.run())
        began = time.monotonic()
        cluster.start(absent)
        await until_applied(cluster, absent, of=node)
        took_s = time.monotonic() - began
        probe = absent.take()
        load.stop()
        figures = await running
    return {
        "caught_up_s": round(took_s, 2),
        "elections": _term(node) - term,
        "probe": probe,
        **figures.summary(),
    }


async def until_applied(
    cluster: ProbedCluster, node: ProbedNode, of: ProbedNode | None = None, timeout_s: float = 180
) -> None:
    """Until `node` has applied what `of` (itself) has committed by then."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        status = await asyncio.to_thread(node.status)
        leader = await asyncio.to_thread((of or node).status)
        # Under load a follower is always a few entries behind.
        slack = 200 if of else 0
        if (
            status is not None
            and leader is not None
            and status.member.applied_index + slack >= leader.member.commit_index > 1
        ):
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{node.node_id} did not catch up within {timeout_s:.0f} s")


async def _until(look: Callable[[], Awaitable[bool]], timeout_s: float = 120) -> None:
    until = time.monotonic() + timeout_s
    while not await look():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {timeout_s:.0f} s in vain")
        await asyncio.sleep(0.02)


async def _is(found: bool) -> bool:
    return found


async def _none_claimed(calls: Caller) -> bool:
    return not (await calls.queue(PENDING)).claimed


def _snapshot_index(node: ProbedNode) -> int:
    status = node.status()
    return status.snapshot_index if status is not None else 0


def _term(node: ProbedNode) -> int:
    status = node.status()
    return status.member.term if status is not None else 0
