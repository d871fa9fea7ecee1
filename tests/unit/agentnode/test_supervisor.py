"""Worker processes that crash come back; stopping reaches all of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from agentnode.supervisor import Supervisor
from tests.support.waiting import eventually

NOTE = "import os,sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n"
# Drains in no time, as a worker without tasks does.
WAIT = NOTE + "import signal; signal.sigwait({signal.SIGTERM})\n"


def command(code: str, file: Path) -> list[str]:
    # The mask is inherited, so that no signal is missed before the wait.
    block = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
    return [sys.executable, "-S", "-c", block + code, str(file)]


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextlib.asynccontextmanager
async def supervised(*commands: list[str]) -> AsyncIterator[tuple[Supervisor, asyncio.Task[int]]]:
    supervisor = Supervisor(commands, backoff_first_ms=10, backoff_max_ms=50)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, task
    finally:
        supervisor.stop()
        await asyncio.wait({task}, timeout=10)


async def test_crashed_process_is_started_again(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    async with supervised(*(command(WAIT, file) for file in files)) as (supervisor, task):
        await eventually(lambda: all(len(pids(file)) == 1 for file in files))
        os.kill(pids(files[0])[0], signal.SIGKILL)
        await eventually(lambda: len(pids(files[0])) == 2)
        assert len(pids(files[1])) == 1
        supervisor.stop()
        assert await asyncio.wait_for(task, 10) == 0
    started = [pid for file in files for pid in pids(file)]
    assert not any(psutil.pid_exists(pid) for pid in started)


async def test_process_that_keeps_failing_is_tried_again_and_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    async with supervised(command(NOTE + "sys.exit(3)", file)) as (_, task):
        await eventually(lambda: len(pids(file)) >= 4)
        assert not task.done()


async def test_wrong_usage_ends_it_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    async with supervised(command(WAIT, good), command(NOTE + "sys.exit(2)", bad)) as (_, task):
        assert await asyncio.wait_for(task, 10) == 2
    assert len(pids(bad)) == 1


async def test_signal_to_the_supervisor_drains_the_children(tmp_path: Path) -> None:
    file = tmp_path / "a"
    async with supervised(command(WAIT, file)) as (_, task):
        await eventually(lambda: pids(file))
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0
