"""Real `agentnode` processes for tests: started, watched, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

# A handler that says where it is by files in the folder it is given, and waits for `go`.
HANDLERS = '''
import os, time
from pathlib import Path
from agentnode import Registry

registry = Registry()


@registry.task()
def step(payload: dict[str, str], ctx):
    """Takes its time: marks its start, waits for a file, says which attempt did it."""
    folder = Path(payload["folder"])
    before = ctx.checkpoint_json(default=0)
    if payload.get("checkpoint"):
        ctx.save_checkpoint(before + 1)
        ctx.flush()
    if payload.get("effect"):
        ctx.once("effect", lambda: (folder / f"effect-{ctx.attempt}").touch())
    (folder / f"started-{ctx.task_id}-{ctx.attempt}-{os.getpid()}").touch()
    while not (folder / "go").exists():
        if payload.get("obedient"):
            ctx.check_cancelled()
        time.sleep(0.005)
    # Run apart, it is a child of the worker.
    pids = [os.getpid(), os.getppid()]
    return {"attempt": ctx.attempt, "pids": pids, "before": before}


@registry.task()
async def double(payload: int) -> int:
    return payload * 2
'''


class AgentProcess:
    """One `agentnode` process and everything it said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self, timeout_s: float = 30) -> int:
        """The exit code. The event loop goes on: the node may run on it."""
        return await asyncio.to_thread(self.process.wait, timeout_s)


def _start(
    folder: Path, log: Path, arguments: tuple[str, ...], env: dict[str, str] | None
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "agentnode", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=env,
        )


@contextlib.asynccontextmanager
async def agent(
    folder: Path, *arguments: str, env: dict[str, str] | None = None
) -> AsyncIterator[AgentProcess]:
    """`agentnode ...` in this folder; killed at the end if it is still there."""
    log = folder / f"agent-{time.monotonic_ns()}.log"
    process = _start(folder, log, arguments, env)
    running = AgentProcess(process, log)
    try:
        yield running
    except BaseException:
        sys.stderr.write(f"--- agent {process.pid}\n{running.log}\n")
        raise
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                await running.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                await running.wait(10)
