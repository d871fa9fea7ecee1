"""Nodes of a cluster as processes of this benchmark, each with the probe in it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from coord.localcluster.probe import ask_nodes
from coord.pb import cluster_pb2 as pb

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[2]


def wait_for(what: str, look: Callable[[], T | None], timeout_s: float) -> T:
    """Poll until `look` gives something; TimeoutError names what did not come."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        found = look()
        if found is not None:
            return found
        time.sleep(0.02)
    raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ProbedNode:
    """One node process; its figures come from the probe inside."""

    node_id: str
    folder: Path
    client: str
    peer: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def report(self) -> Path:
        return self.folder / "probe.json"

    @property
    def pid(self) -> int:
        assert self.process is not None, "start it first"
        return self.process.pid

    def take(self) -> dict[str, Any]:
        """What the probe saw since the last time."""
        self.report.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        wait_for("the probe", lambda: self.report.exists() or None, 60)
        found: dict[str, Any] = json.loads(self.report.read_text(encoding="utf-8"))
        return found

    def cpu_s(self) -> float:
        """Processor time the process has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def status(self) -> pb.NodeStatusResponse | None:
        """What the node says of itself; None if it does not answer."""
        return ask_nodes([self.client]).get(self.client)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class ProbedCluster:
    """`size` nodes under `folder`. `settings` are configuration entries of every node."""

    folder: Path
    size: int
    settings: Mapping[str, Any]
    nodes: list[ProbedNode] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in range(1, self.size + 1):
            folder = self.folder / f"n{number}"
            folder.mkdir(parents=True)
            client, peer = (f"127.0.0.1:{free_port()}" for _ in range(2))
            self.nodes.append(ProbedNode(f"n{number}", folder, client, peer))

    @property
    def endpoints(self) -> str:
        return ",".join(node.client for node in self.nodes)

    def start(self, node: ProbedNode, **settings: Any) -> None:
        """Start a node's process; does not wait for it."""
        config = node.folder / "node.toml"
        config.write_text(self._config(node, {**self.settings, **settings}), encoding="utf-8")
        with (node.folder / "node.log").open("ab") as log:
            node.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "bench.state.probed_node",
                    str(node.report),
                    str(config),
                ],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdout=log,
                stderr=log,
            )

    def start_all(self, **settings: Any) -> None:
        for node in self.nodes:
            self.start(node, **settings)
        self.leader()

    def leader(self, timeout_s: float = 120) -> ProbedNode:
        """The node that leads and serves; waits for one."""

        def look() -> ProbedNode | None:
            for node in self.nodes:
                status = node.status() if node.process is not None else None
                if status is not None and status.member.role == "leader":
                    return node
            return None

        return wait_for("a leader", look, timeout_s)

    def kill_all(self) -> None:
        for node in self.nodes:
            node.kill()

    def _config(self, node: ProbedNode, settings: Mapping[str, Any]) -> str:
        entries = {
            "cluster_id": "big-state",
            "node_id": node.node_id,
            "data_dir": str(node.folder / "data"),
            **settings,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
        for member in self.nodes:
            lines += ["", "[[members]]", f"node_id = {json.dumps(member.node_id)}"]
            lines += [f"peer_address = {json.dumps(member.peer)}"]
            lines += [f"client_address = {json.dumps(member.client)}"]
        return "\n".join(lines) + "\n"
