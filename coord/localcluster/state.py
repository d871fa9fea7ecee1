"""cluster.json: what a local cluster is made of and which processes it has now."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coord.localcluster.errors import LocalClusterError
from coord.localcluster.ports import HOST
from coord.localcluster.processes import ProcessRecord

FORMAT = 1
MAX_NODES = 9


@dataclass(frozen=True, slots=True)
class NodeLayout:
    node_id: str
    client_port: int
    peer_port: int
    host: str = HOST

    @property
    def client_address(self) -> str:
        return f"{self.host}:{self.client_port}"

    @property
    def peer_address(self) -> str:
        return f"{self.host}:{self.peer_port}"


@dataclass(slots=True)
class ClusterState:
    """`processes` holds the last process of every node that was ever started."""

    cluster_id: str
    nodes: list[NodeLayout]
    processes: dict[str, ProcessRecord] = field(default_factory=dict)


def make_layout(nodes: int, base_port: int, peer_offset: int) -> list[NodeLayout]:
    """Nodes n1, n2, ... on consecutive ports."""
    if not 1 <= nodes <= MAX_NODES:
        raise LocalClusterError(f"a local cluster has 1 to {MAX_NODES} nodes, not {nodes}")
    if peer_offset < nodes:
        raise LocalClusterError(f"peer_offset must be at least {nodes}, so that ports differ")
    if not 1 <= base_port <= 65_535 - peer_offset - nodes:
        raise LocalClusterError(
            f"base port must lie between 1 and {65_535 - peer_offset - nodes}, not {base_port}"
        )
    return [
        NodeLayout(f"n{i + 1}", base_port + i, base_port + peer_offset + i) for i in range(nodes)
    ]


def number_of(node: NodeLayout) -> int:
    """3 for n3."""
    return int(node.node_id.removeprefix("n"))


def next_node(nodes: list[NodeLayout], peer_offset: int) -> NodeLayout:
    """One more, with the next number; numbers of nodes that were removed are not given again to
    one that comes later than a higher one."""
    last = max(nodes, key=number_of)
    if len(nodes) >= MAX_NODES or number_of(last) >= peer_offset:
        raise LocalClusterError(f"a local cluster has {MAX_NODES} nodes at most")
    return NodeLayout(
        f"n{number_of(last) + 1}", last.client_port + 1, last.client_port + 1 + peer_offset
    )


def base_port(nodes: list[NodeLayout]) -> int:
    """The client port of n1, also when it was removed."""
    return nodes[0].client_port - number_of(nodes[0]) + 1


def load(path: Path) -> ClusterState | None:
    """The state kept in `path`; None when there is none."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LocalClusterError(f"cannot read {path}: {error}") from error
    try:
        return _from_json(raw)
    except (KeyError, TypeError, ValueError) as error:
        raise LocalClusterError(f"{path} is not a cluster file of this version") from error


def save(path: Path, state: ClusterState) -> None:
    """Replaces the file as a whole, so a reader never sees half of it."""
    raw = {
        "format": FORMAT,
        "cluster_id": state.cluster_id,
        "nodes": [
            {"id": node.node_id, "client_port": node.client_port, "peer_port": node.peer_port}
            for node in state.nodes
        ],
        "processes": {
            node_id: {"pid": record.pid, "started": record.started}
            for node_id, record in state.processes.items()
        },
    }
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Only one process at a time changes a cluster; others wait for it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _from_json(raw: dict[str, Any]) -> ClusterState:
    if raw["format"] != FORMAT:
        raise ValueError(raw["format"])
    return ClusterState(
        cluster_id=str(raw["cluster_id"]),
        nodes=[
            NodeLayout(str(node["id"]), int(node["client_port"]), int(node["peer_port"]))
            for node in raw["nodes"]
        ],
        processes={
            str(node_id): ProcessRecord(int(record["pid"]), str(record["started"]))
            for node_id, record in raw["processes"].items()
        },
    )
