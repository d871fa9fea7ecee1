"""`coord lock acquire -- CMD` against a real node: killed, suspended, taken away."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from coord.client import Client
from tests.support.rpc import local_node
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

# Says who works, as a child of what was started.
COMMAND = "sh -c 'echo $$; exec sleep 60' & echo $$; wait"


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def holder(address: str, ttl_ms: int) -> AsyncIterator[tuple[Process, list[int]]]:
    """A `coord lock acquire` whose command runs; with the processes of that."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coord.cli", "--endpoints", address),
        *("lock", "acquire", "l", "--ttl-ms", str(ttl_ms), "--", "sh", "-c", COMMAND),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        assert process.stdout is not None
        lines = [await asyncio.wait_for(process.stdout.readline(), 30) for _ in range(2)]
        yield process, [int(line) for line in lines]
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        await process.communicate()


async def test_a_killed_holder_leaves_nothing_running_beside_the_next_one() -> None:
    async with local_node() as node, holder(node.address, 3_000) as (process, working):
        process.kill()
        async with Client(node.address) as client:
            assert await client.locks.acquire("l", wait_ms=30_000) is not None
            assert [pid for pid in working if is_running(pid)] == []


async def test_a_suspended_holder_leaves_nothing_running_beside_the_next_one() -> None:
    async with local_node() as node, holder(node.address, 3_000) as (process, working):
        os.kill(process.pid, signal.SIGSTOP)
        async with Client(node.address) as client:
            assert await client.locks.acquire("l", wait_ms=30_000) is not None
            assert [pid for pid in working if is_running(pid)] == []
            os.kill(process.pid, signal.SIGCONT)
            _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 1
        assert b"was lost" in errors


async def test_a_lock_that_is_taken_away_ends_the_command() -> None:
    async with local_node() as node, holder(node.address, 1_500) as (process, working):
        async with Client(node.address) as client:
            lock = await client.locks.get("l")
            assert lock is not None
            await client.locks.release_by_token("l", lock.fencing_token)
        assert await asyncio.wait_for(process.wait(), 30) == 1
        assert [pid for pid in working if is_running(pid)] == []


async def test_a_command_is_kept_far_beyond_one_lease() -> None:
    async with local_node() as node, holder(node.address, 1_000) as (process, working):
        held_until_s = time.monotonic() + 3
        await eventually(lambda: time.monotonic() > held_until_s)
        assert all(is_running(pid) for pid in working)
        process.terminate()
        await eventually(lambda: not is_running(process.pid), 30)
        # What the command leaves behind when it ends by itself is its own affair, as in a shell.
        for pid in filter(is_running, working):
            os.kill(pid, signal.SIGKILL)
        assert await asyncio.wait_for(process.wait(), 30) == 143
