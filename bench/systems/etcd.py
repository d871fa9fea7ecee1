"""Three nodes of etcd."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.place import Child, free_ports
from bench.systems.base import System, find_program

NODES = 3


class EtcdSystem(System):
    """Defaults, and a larger limit of operations per transaction for batches above 128."""

    name = "etcd"
    operations = frozenset(
        {"cycle", "fill", "put", "get", "unary_get", "txn", "lock", "steady_put"}
    )

    def __init__(self) -> None:
        self._nodes: list[Child] = []
        self._clients: list[int] = []

    def check(self) -> None:
        find_program("etcd")
        find_program("etcdctl")

    def start(self, directory: Path) -> None:
        ports = free_ports(2 * NODES)
        self._clients, peers = ports[:NODES], ports[NODES:]
        members = ",".join(f"e{i}=http://127.0.0.1:{port}" for i, port in enumerate(peers))
        for i in range(NODES):
            argv = [
                *(find_program("etcd"), "--name", f"e{i}"),
                *("--data-dir", str(directory / f"e{i}")),
                *("--listen-client-urls", f"http://127.0.0.1:{self._clients[i]}"),
                *("--advertise-client-urls", f"http://127.0.0.1:{self._clients[i]}"),
                *("--listen-peer-urls", f"http://127.0.0.1:{peers[i]}"),
                *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peers[i]}"),
                *("--initial-cluster", members, "--initial-cluster-token", directory.name),
                *("--max-txn-ops", "4096", "--max-request-bytes", str(64 * 1024 * 1024)),
                *("--quota-backend-bytes", str(8 * 1024**3), "--log-level", "error"),
            ]
            self._nodes.append(Child(argv, directory / f"e{i}.log"))
        self._nodes[0].wait_until(lambda: self.leader() >= 0, "etcd elected a leader")

    def leader(self) -> int:
        """The number of the leading node; -1 = none answers as leader."""
        for i, port in enumerate(self._clients):
            status = self._ctl(port, "endpoint", "status", "-w", "json")
            if (
                status
                and status[0]["Status"]["leader"] == status[0]["Status"]["header"]["member_id"]
            ):
                return i
        return -1

    def kill_leader(self) -> str:
        """SIGKILL; the number of the node that led."""
        leader = self.leader()
        if leader < 0:
            raise BenchError("no node leads")
        self._nodes[leader].kill()
        return str(leader)

    def start_again(self, node: str) -> None:
        """A node that was killed; returns when it serves."""
        number = int(node)
        killed = self._nodes[number]
        self._nodes[number] = Child(killed.argv, killed.log)
        self._nodes[number].wait_until(
            lambda: bool(self._ctl(self._clients[number], "endpoint", "health", "-w", "json")),
            "etcd came back",
        )

    @staticmethod
    def _ctl(port: int, *words: str) -> list[Any]:
        done = subprocess.run(
            [find_program("etcdctl"), "--endpoints", f"127.0.0.1:{port}", *words],
            capture_output=True,
            text=True,
            check=False,
            env={"ETCDCTL_API": "3"},
        )
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else []

    def stop(self) -> None:
        for node in self._nodes:
            node.stop()

    def connect(self) -> dict[str, str]:
        endpoints = [f"127.0.0.1:{port}" for port in self._clients]
        return {
            "leader": endpoints[self.leader()],
            "endpoints": ",".join(endpoints),
            "leases": "yes",
        }

    def pids(self) -> list[int]:
        return [node.pid for node in self._nodes if node.running]

    def configuration(self) -> str:
        done = subprocess.run(
            [find_program("etcd"), "--version"], capture_output=True, text=True, check=False
        )
        version = done.stdout.splitlines()[0].removeprefix("etcd Version: ")
        return (
            f"etcd {version}, {NODES} nodes, default settings (max-txn-ops 4096): "
            "fsync on a majority before every acknowledgement; clients talk to the leader"
        )
