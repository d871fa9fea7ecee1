"""A cluster of real node processes on this machine, in the background.

Used by `scripts/cluster`, the demo, the integration tests and the chaos harness. Everything that
is known about a cluster lies in its directory, so any later process can take it over."""

from __future__ import annotations

from coord.localcluster.cluster import LocalCluster, NodeStatus
from coord.localcluster.errors import LocalClusterError
from coord.localcluster.ports import free_base_port

__all__ = ["LocalCluster", "LocalClusterError", "NodeStatus", "free_base_port"]
