"""Several worker processes under one roof; one that crashes is started again.

The children do the work and this process only watches them, so it has nothing to crash on. A child
that fails again and again waits longer each time; one that ran well for a while starts over.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import structlog

EXIT_OK = 0
EXIT_USAGE = 2


class Supervisor:
    """Keeps one process running per command line. `run` returns the exit code."""

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        *,
        backoff_first_ms: int = 500,
        backoff_max_ms: int = 30_000,
        healthy_after_ms: int = 60_000,
    ) -> None:
        self._commands = commands
        self._backoff_first_s = backoff_first_ms / 1000
        self._backoff_max_s = backoff_max_ms / 1000
        self._healthy_after_s = healthy_after_ms / 1000
        self._stopping = asyncio.Event()
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._usage_error = False
        self._log = structlog.get_logger("agentnode.supervisor")

    def stop(self) -> None:
        """Pass on: the first call drains the children, the second ends them at once."""
        self._stopping.set()
        for child in self._children.values():
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)

    async def run(self) -> int:
        """Run until stopped and all children have ended. 2 if a child says its usage is wrong."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            async with asyncio.TaskGroup() as group:
                for index, command in enumerate(self._commands):
                    group.create_task(self._keep(index, command))
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
        return EXIT_USAGE if self._usage_error else EXIT_OK

    async def _keep(self, index: int, command: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        backoff_s = self._backoff_first_s
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._run_once(index, command)
            if self._stopping.is_set():
                return
            if code == EXIT_USAGE:
                self._usage_error = True
                self.stop()
                return
            if loop.time() - started >= self._healthy_after_s:
                backoff_s = self._backoff_first_s
            self._log.warning("worker process ended", exit_code=code, restart_in_s=backoff_s)
            await self._pause(backoff_s)
            backoff_s = min(backoff_s * 2, self._backoff_max_s)

    async def _run_once(self, index: int, command: Sequence[str]) -> int:
        # In a group of its own, so that Ctrl-C in a terminal comes through this process only.
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        self._children[index] = child
        self._log.info("worker process started", pid=child.pid)
        if self._stopping.is_set():
            child.send_signal(signal.SIGTERM)
        return await child.wait()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
