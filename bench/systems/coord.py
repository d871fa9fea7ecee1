"""A local cluster of this store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.place import ROOT, Child
from bench.systems.base import System
from coord.core.base.build import COMPILED
from coord.localcluster import LocalCluster, LocalClusterError, free_base_port

WORKER_PROCESSES = 2


class CoordSystem(System):
    """`nodes` processes with default settings, except where `settings` says otherwise."""

    name = "coord"
    operations = frozenset(
        {
            *("cycle", "fill", "put", "steady_put", "get", "unary_get", "txn", "lock"),
            *("take", "hold", "end_to_end"),
        }
    )

    def __init__(self, nodes: int = 3, settings: Mapping[str, Any] | None = None) -> None:
        self.nodes = nodes
        self.settings: dict[str, Any] = {"log_level": "warning", **(settings or {})}
        self._cluster: LocalCluster | None = None

    @property
    def label(self) -> str:
        return self.name if self.nodes == 3 else f"{self.name} ({self.nodes} nodes)"

    @property
    def cluster(self) -> LocalCluster:
        assert self._cluster is not None, "start first"
        return self._cluster

    def check(self) -> None:
        """It is always there."""

    def start(self, directory: Path) -> None:
        base = free_base_port(self.nodes)
        self._cluster = LocalCluster(
            directory / "cluster",
            self.nodes,
            base,
            settings=self.settings,
        )
        try:
            self._cluster.up()
        except LocalClusterError as error:
            raise BenchError(str(error)) from error

    def stop(self) -> None:
        if self._cluster is not None and self._cluster.exists:
            self._cluster.down(2_000)

    def connect(self) -> dict[str, str]:
        statuses = self.cluster.status()
        leader = next((one.client_address for one in statuses if one.role == "leader"), "")
        return {"endpoints": ",".join(self.cluster.endpoints), "leader": leader}

    def leader_pid(self) -> int:
        """The process that leads now."""
        leader = self.cluster.leader()
        if leader is None:
            raise BenchError("no node leads")
        return self.cluster.pids[leader]

    def kill_leader(self) -> str:
        """SIGKILL; the node that led."""
        leader = self.cluster.leader()
        if leader is None:
            raise BenchError("no node leads")
        self.cluster.kill(leader)
        return leader

    def start_again(self, node: str) -> None:
        """A node that was killed; returns when it serves."""
        self.cluster.start(node)

    def pids(self) -> list[int]:
        return list(self.cluster.pids.values())

    def configuration(self) -> str:
        version = metadata.version("coord-store")
        core = "compiled" if COMPILED else "pure Python"
        return (
            f"coord {version}, core {core}, {self.nodes} nodes, default settings: "
            "fdatasync on a majority before every acknowledgement"
        )

    @contextmanager
    def workers(self, slots: int, queue: str, directory: Path) -> Iterator[dict[str, str]]:
        """`agentnode run` with a coroutine handler, in up to two processes."""
        processes = min(WORKER_PROCESSES, slots)
        with ExitStack() as stack:
            for number in range(processes):
                argv = [
                    *(sys.executable, "-m", "agentnode", "run"),
                    "bench.apps.coord_app:registry",
                    *("--queues", queue, "--slots", str(slots // processes)),
                    *("--log-level", "warning"),
                ]
                env = {"COORD_ENDPOINTS": self.connect()["endpoints"], "PYTHONPATH": str(ROOT)}
                worker = Child(argv, directory / f"worker{number}.log", env=env)
                stack.callback(worker.stop)
            yield {"queue": queue}
