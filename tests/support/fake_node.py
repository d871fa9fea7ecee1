"""A stand-in for a node: answers what a local cluster asks, from the node's configuration file.

The first member leads. `python fake_node.py CONFIG [MODE]`; mode `crash` ends at once, `deaf`
never listens, `stubborn` ignores SIGTERM, `leaderless` knows no leader."""

from __future__ import annotations

import signal
import sys
import threading
import tomllib
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from coord.pb import cluster_pb2, cluster_pb2_grpc, etcd_rpc_pb2, etcd_rpc_pb2_grpc


class FakeCluster(cluster_pb2_grpc.ClusterServicer):
    def __init__(self, config: dict[str, Any], leader: str) -> None:
        self._config = config
        self._leader = leader

    def NodeStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        node_id = self._config["node_id"]
        role = "leader" if node_id == self._leader else "follower"
        return cluster_pb2.NodeStatusResponse(
            cluster_id=self._config["cluster_id"],
            leader=self._leader,
            member=cluster_pb2.MemberStatus(id=node_id, role=role, term=7, applied_index=42),
        )


class FakeKv(etcd_rpc_pb2_grpc.KVServicer):
    def Range(self, request: Any, context: Any) -> Any:  # noqa: N802
        return etcd_rpc_pb2.RangeResponse()


def main() -> None:
    config = tomllib.loads(Path(sys.argv[1]).read_text())
    mode = sys.argv[2] if len(sys.argv) > 2 else ""
    if mode == "crash":
        sys.exit("cannot open the data directory")
    leader = "" if mode == "leaderless" else config["members"][0]["node_id"]
    stop = threading.Event()
    handler: Any = signal.SIG_IGN if mode == "stubborn" else lambda *_: stop.set()
    signal.signal(signal.SIGTERM, handler)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    cluster_pb2_grpc.add_ClusterServicer_to_server(FakeCluster(config, leader), server)
    etcd_rpc_pb2_grpc.add_KVServicer_to_server(FakeKv(), server)
    (me,) = [m for m in config["members"] if m["node_id"] == config["node_id"]]
    if mode != "deaf":
        server.add_insecure_port(me["client_address"])
    server.start()
    sys.stdout.write(f"{config['node_id']} serves\n")
    sys.stdout.flush()
    # Another thread may take the signal; this one then has to come round to see it.
    while not stop.wait(0.05):
        pass
    server.stop(0).wait()


if __name__ == "__main__":
    main()
