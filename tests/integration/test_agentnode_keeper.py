"""Leases of handlers that take the interpreter, and the process that keeps them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from coord.client import Client, TaskSpec, TaskState
from tests.support.agent_processes import AgentProcess, agent
from tests.support.rpc import local_node
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

HANDLERS = '''
import ctypes, os, time
from pathlib import Path
from agentnode import Registry

registry = Registry()


@registry.task()
def compute(seconds: float) -> int:
    """Computes, as only Python can: never lets go of the interpreter by itself."""
    ends, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        rounds += 1
    return rounds


@registry.task()
def grab(seconds: int) -> str:
    """Keeps the interpreter lock all the time, as a bad C extension does."""
    ctypes.PyDLL(None).sleep(seconds)
    return "let go"


@registry.task()
async def block(seconds: float) -> str:
    """Blocks the event loop, as a handler must not."""
    time.sleep(seconds)
    return "let go"


@registry.task()
def wait(folder: str) -> str:
    Path(folder, f"started-{os.getpid()}").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return "done"
'''


READY = "leases are kept by a process of their own"


@pytest.fixture
async def endpoints() -> AsyncIterator[str]:
    async with local_node() as node:
        yield node.address


@pytest.fixture
async def client(endpoints: str) -> AsyncIterator[Client]:
    async with Client(endpoints, name="test") as opened:
        yield opened


@pytest.fixture
def queue() -> str:
    return f"q-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def run(tmp_path: Path, endpoints: str, queue: str) -> list[str]:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return ["run", "handlers.py", "--queues", queue, "--endpoints", endpoints]


def keepers(process: AgentProcess) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [
            child
            for child in psutil.Process(process.pid).children()
            if "agentnode.keeper" in " ".join(child.cmdline())
        ]
    return []


async def test_24_handlers_that_compute_lose_no_lease_of_three_seconds(
    client: Client, queue: str, run: list[str], tmp_path: Path
) -> None:
    async with agent(tmp_path, *run, "--slots", "24", "--lease-ttl-ms", "3000") as process:
        await eventually(lambda: READY in process.log)
        specs = [TaskSpec(queue, b"8", type="compute", max_attempts=1) for _ in range(24)]
        tasks = await client.tasks.submit_many(specs)
        ended = await client.tasks.wait([task.task_id for task in tasks], timeout_ms=90_000)
        assert [task.state for task in ended] == [TaskState.COMPLETED] * 24
        assert sum(task.lost_leases for task in ended) == 0


@pytest.mark.parametrize(("kind", "seconds"), [("grab", 5), ("block", 5)])
async def test_whoever_stops_the_event_loop_for_a_while_loses_nothing(
    kind: str, seconds: int, client: Client, queue: str, run: list[str], tmp_path: Path
) -> None:
    async with agent(tmp_path, *run, "--slots", "3", "--lease-ttl-ms", "1500") as process:
        await eventually(lambda: READY in process.log)
        beside = await client.tasks.submit(queue, json.dumps(str(tmp_path)).encode(), type="wait")
        await eventually(lambda: list(tmp_path.glob("started-*")))
        task = await client.tasks.submit(queue, str(seconds).encode(), type=kind)
        (ended,) = await client.tasks.wait([task.task_id], timeout_ms=60_000)
        (tmp_path / "go").touch()
        (other,) = await client.tasks.wait([beside.task_id], timeout_ms=60_000)
        for one in (ended, other):
            assert (one.state, one.lost_leases) == (TaskState.COMPLETED, 0), one


async def test_a_killed_keeper_is_started_again_and_no_lease_is_lost_meanwhile(
    client: Client, queue: str, run: list[str], tmp_path: Path
) -> None:
    task = await client.tasks.submit(queue, json.dumps(str(tmp_path)).encode(), type="wait")
    async with agent(tmp_path, *run, "--lease-ttl-ms", "1000") as process:
        await eventually(lambda: list(tmp_path.glob("started-*")) and READY in process.log)
        (first,) = keepers(process)
        first.kill()
        await eventually(lambda: process.log.count(READY) == 2)
        held_until_s = time.monotonic() + 2.5
        await eventually(lambda: time.monotonic() > held_until_s)
        (tmp_path / "go").touch()
        (ended,) = await client.tasks.wait([task.task_id], timeout_ms=30_000)
    assert (ended.state, ended.lost_leases) == (TaskState.COMPLETED, 0)


async def test_the_keeper_ends_with_a_killed_worker_and_renews_nothing_more(
    client: Client, queue: str, run: list[str], tmp_path: Path
) -> None:
    task = await client.tasks.submit(queue, json.dumps(str(tmp_path)).encode(), type="wait")
    async with agent(tmp_path, *run, "--lease-ttl-ms", "1000") as process:
        await eventually(lambda: list(tmp_path.glob("started-*")) and READY in process.log)
        (keeper,) = keepers(process)
        process.signal(signal.SIGKILL)
        await process.wait()
        await eventually(lambda: not keeper.is_running())
    await lease_is_lost(client, task.task_id)


async def test_the_keeper_renews_nothing_for_a_suspended_worker(
    client: Client, queue: str, run: list[str], tmp_path: Path
) -> None:
    if not os.path.isdir("/proc/self"):  # noqa: ASYNC240
        pytest.skip("only /proc tells that a process is suspended")
    task = await client.tasks.submit(queue, json.dumps(str(tmp_path)).encode(), type="wait")
    async with agent(tmp_path, *run, "--lease-ttl-ms", "1000") as process:
        await eventually(lambda: list(tmp_path.glob("started-*")) and READY in process.log)
        process.signal(signal.SIGSTOP)
        await lease_is_lost(client, task.task_id)


async def lease_is_lost(client: Client, task_id: str) -> None:
    for _ in range(400):
        if (await client.tasks.get(task_id)).lost_leases:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the lease is still held")
