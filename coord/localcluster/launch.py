"""How one node of a local cluster is configured and started."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from coord.localcluster.state import ClusterState, NodeLayout

Setting = str | int | bool


def write_config(
    folder: Path, cluster: ClusterState, node: NodeLayout, settings: Mapping[str, Setting]
) -> Path:
    """Writes the node's configuration file and returns its path."""
    entries: dict[str, Setting] = {
        "cluster_id": cluster.cluster_id,
        "node_id": node.node_id,
        "data_dir": str(folder / "data"),
        **settings,
    }
    lines = [f"{name} = {_toml(value)}" for name, value in entries.items()]
    for member in cluster.nodes:
        lines += [
            "",
            "[[members]]",
            f"node_id = {_toml(member.node_id)}",
            f"peer_address = {_toml(member.peer_address)}",
            f"client_address = {_toml(member.client_address)}",
        ]
    path = folder / "node.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def node_command(config: Path) -> list[str]:
    """Runs a node with this configuration in the interpreter that runs now."""
    return [sys.executable, "-m", "coord.cli", "serve", "--config", str(config)]


def node_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without settings meant for another node."""
    return {name: value for name, value in environment.items() if not name.startswith("COORD_")} | {
        "PYTHONUNBUFFERED": "1"
    }


def _toml(value: Setting) -> str:
    """JSON's notation of text, whole numbers and truth values is TOML's too."""
    return json.dumps(value, ensure_ascii=False)
