"""Asking a local cluster to take a node in, or out."""

from __future__ import annotations

from collections.abc import Sequence

from coord.client.sync import Client
from coord.client.transport.errors import CoordError
from coord.localcluster.errors import LocalClusterError
from coord.localcluster.state import NodeLayout


def join(endpoints: Sequence[str], node: NodeLayout, timeout_ms: int) -> None:
    """Returns when the node, which runs, votes. Taken out again if it does not get there."""
    with Client(endpoints, name="scripts/cluster", timeout_ms=timeout_ms) as client:
        try:
            client.cluster.add_member(node.node_id, node.client_address, node.peer_address)
            client.cluster.promote_member(node.node_id)
        except BaseException as error:
            leave(endpoints, node.node_id, timeout_ms)
            if isinstance(error, CoordError):
                raise LocalClusterError(f"{node.node_id} did not join: {error}") from error
            raise


def leave(endpoints: Sequence[str], node_id: str, timeout_ms: int) -> None:
    """Returns when the node is no member, if it was one."""
    with Client(endpoints, name="scripts/cluster", timeout_ms=timeout_ms) as client:
        try:
            if any(member.id == node_id for member in client.cluster.members()):
                client.cluster.remove_member(node_id)
        except CoordError as error:
            raise LocalClusterError(f"{node_id} is not removed: {error}") from error
