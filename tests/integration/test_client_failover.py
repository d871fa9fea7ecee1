"""The client against three nodes in this process, while leaders come and go."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coord.client import Client, CoordError, TaskSpec, Work
from coord.node.config import ServerConfig
from coord.node.node import Node
from tests.support.rpc import work_streams
from tests.support.waiting import eventually


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def configs(directory: Path) -> list[ServerConfig]:
    ports = free_ports(6)
    members = [f"n{i}=127.0.0.1:{ports[i + 2]},127.0.0.1:{ports[i - 1]}" for i in (1, 2, 3)]
    return [
        ServerConfig(
            cluster_id="test",
            node_id=f"n{i}",
            listen=f"127.0.0.1:{ports[i - 1]}",
            data_dir=directory / f"n{i}",
            members=members,
        )
        for i in (1, 2, 3)
    ]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[dict[str, Node]]:
    running = {config.node_id: Node(config) for config in configs(tmp_path)}
    try:
        await asyncio.gather(*(node.start() for node in running.values()))
        yield running
    finally:
        await asyncio.gather(*(node.stop() for node in running.values()))


async def test_writes_go_on_through_changes_of_leader(nodes: dict[str, Node]) -> None:
    endpoints = [node.config.listen for node in nodes.values()]
    lost: list[int] = []
    async with Client(endpoints, timeout_ms=15_000) as client:
        client.on_session_lost(lost.append)
        await client.kv.put("k", "0")
        acknowledged: list[str] = []
        stopping = asyncio.Event()
        longest = 0.0

        async def write() -> None:
            nonlocal longest
            while not stopping.is_set():
                started = time.monotonic()
                task = await client.tasks.submit("q", b"x")
                longest = max(longest, time.monotonic() - started)
                acknowledged.append(task.task_id)

        writing = asyncio.ensure_future(write())
        async with client.locks.lock("l") as grant:
            moved = await client.cluster.transfer_leader()
            await eventually(lambda: len(acknowledged) >= 20, timeout_s=10)
            leader = (await client.cluster.status()).leader
            await nodes[leader].stop()
            before = len(acknowledged)
            await eventually(lambda: len(acknowledged) >= before + 20, timeout_s=10)
            assert not grant.lost.is_set()
        stopping.set()
        await writing
        assert moved.leader in nodes
        assert lost == []
        known = [task.task_id for task in await client.tasks.list("q", limit=10_000)]
        assert known == acknowledged  # every one, once, in order
        assert longest < 5.0


async def test_without_a_majority_calls_end_in_time(nodes: dict[str, Node]) -> None:
    endpoints = [node.config.listen for node in nodes.values()]
    async with Client(endpoints, timeout_ms=15_000) as client:
        await client.kv.put("k", "0")
        await nodes["n1"].stop()
        await nodes["n2"].stop()
        started = time.monotonic()
        with pytest.raises(CoordError):
            await client.kv.put("k", "1", timeout_ms=1_000)
        assert time.monotonic() - started < 2.0


async def test_a_worker_goes_on_when_leaders_move_and_leave(nodes: dict[str, Node]) -> None:
    """Every leader tells the worker to go on elsewhere, in order: no task is delivered twice."""
    endpoints = [node.config.listen for node in nodes.values()]
    done: list[str] = []
    async with Client(endpoints, timeout_ms=15_000) as client:
        submitted = await client.tasks.submit_many([TaskSpec("q") for _ in range(240)])

        async def serve(work: Work) -> None:
            async for task in work:
                await work.complete(task)
                done.append(task.task_id)

        async with client.tasks.work(["q"], slots=2, lease_ttl_ms=600_000) as work:
            serving = [asyncio.ensure_future(serve(work)) for _ in range(2)]
            await eventually(lambda: len(done) >= 60, timeout_s=20)
            moved = await client.cluster.transfer_leader()
            await eventually(
                lambda: len(work_streams(nodes[moved.leader].server).streams) == 1, timeout_s=20
            )
            await eventually(lambda: len(done) >= 120, timeout_s=20)
            await nodes[moved.leader].stop()
            await eventually(lambda: len(done) == 240, timeout_s=20)
            await work.stop()
            await asyncio.gather(*serving)
        tasks = await client.tasks.wait([task.task_id for task in submitted])
    assert sorted(done) == sorted(task.task_id for task in submitted)
    assert {(task.attempt, task.lost_leases) for task in tasks} == {(1, 0)}
