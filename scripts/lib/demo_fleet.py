"""The agents of the demo: worker processes in the background."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from coord.localcluster.processes import (
    ProcessRecord,
    ProcessState,
    kill,
    process_state,
    spawn_detached,
    terminate,
)

REGISTRY = "examples.stdlib_report.tasks:registry"
GRACE_MS = 5_000


class Fleet:
    """Agents a1, a2, ... with their logs in `directory`."""

    def __init__(self, root: Path, directory: Path, endpoints: str, queues: Sequence[str]) -> None:
        self._root = root
        self._directory = directory
        self._endpoints = endpoints
        self._queues = queues
        self._agents: dict[str, ProcessRecord] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves no agent behind."""
        terminate(list(self._agents.values()), GRACE_MS)

    def start(self, count: int) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            name = f"a{number}"
            self._agents[name] = spawn_detached(
                self._command(name), self.log_path(name), self._environment()
            )

    @property
    def running(self) -> list[str]:
        return [
            name
            for name, record in self._agents.items()
            if process_state(record) is not ProcessState.DOWN
        ]

    def kill(self, name: str) -> None:
        """SIGKILL."""
        kill([self._agents[name]])

    def log_path(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _command(self, name: str) -> list[str]:
        return [
            *(sys.executable, "-m", "agentnode", "run", REGISTRY),
            *("--queues", ",".join(self._queues), "--slots", "2", "--name", name),
            *("--lease-ttl-ms", "3000"),
        ]

    def _environment(self) -> dict[str, str]:
        return dict(os.environ) | {
            "COORD_ENDPOINTS": self._endpoints,
            "PYTHONPATH": str(self._root),
            "PYTHONUNBUFFERED": "1",
        }
