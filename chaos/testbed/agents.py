"""Real `agentnode` processes, for workloads that are about them and nemeses that hurt them.

Each runs a command for every task that takes a moment and answers with the task as it was given,
so a result tells the attempt that made it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from coord.localcluster.launch import node_environment
from coord.localcluster.processes import (
    ProcessRecord,
    ProcessState,
    kill,
    process_state,
    send_signal,
    spawn_detached,
)

QUEUE = "chaos-agents"
LEASE_MS = 1_500
SCRIPT = 'task=$(cat) && sleep 0.1 && printf "%s" "$task"'


class Agents:
    """None until `up`. `hold` is told of every process, so that none outlives the harness."""

    def __init__(self, directory: Path, hold: Callable[[ProcessRecord], None]) -> None:
        self._directory, self._hold = directory, hold
        self._endpoints = ""
        self._processes: dict[str, ProcessRecord] = {}

    @property
    def names(self) -> list[str]:
        return list(self._processes)

    def state(self, name: str) -> ProcessState:
        return process_state(self._processes[name])

    def up(self, count: int, endpoints: str) -> None:
        """Start so many; they need no cluster to start."""
        self._endpoints = endpoints
        for number in range(1, count + 1):
            self._spawn(f"agent-{number}")

    async def down(self) -> None:
        """SIGKILL to all. Idempotent."""
        await self.kill(*self._processes)
        self._processes.clear()

    async def kill(self, *names: str) -> None:
        await asyncio.to_thread(kill, [self._processes[name] for name in names])

    def pause(self, *names: str) -> None:
        for name in names:
            send_signal(self._processes[name], signal.SIGSTOP)

    def heal(self) -> None:
        """Nobody stands still, everybody runs."""
        for name, record in list(self._processes.items()):
            send_signal(record, signal.SIGCONT)
            if self.state(name) is ProcessState.DOWN:
                self._spawn(name)

    def log_path(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _spawn(self, name: str) -> None:
        command = [
            *(sys.executable, "-m", "agentnode", "exec", "--name", name, "--queues", QUEUE),
            *("--endpoints", self._endpoints, "--slots", "2", "--lease-ttl-ms", str(LEASE_MS)),
            *("--", shutil.which("sh") or "/bin/sh", "-c", SCRIPT),
        ]
        self._processes[name] = spawn_detached(
            command, self.log_path(name), node_environment(os.environ)
        )
        self._hold(self._processes[name])
