"""Asking nodes how they are, with one short deadline for all of them.

A blocking gRPC channel that Ctrl-C reaches in the middle of a call may wait for ever when it is
closed. So a thread makes the calls: no signal interrupts it; the one who asks waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TypeVar

import grpc

from coord.channels import blocking_channel
from coord.pb import cluster_pb2, cluster_pb2_grpc, etcd_rpc_pb2, etcd_rpc_pb2_grpc

ASK_SECONDS = 1.0
# Otherwise the growing reconnect delay of earlier, failed channels holds for a new one.
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))


Answer = TypeVar("Answer")


def ask_nodes(addresses: Sequence[str]) -> dict[str, cluster_pb2.NodeStatusResponse]:
    """What the nodes at these client addresses say of themselves; silent ones are left out."""
    return _in_a_thread(lambda: _ask_nodes(addresses))


def serves_reads(address: str) -> bool:
    """Whether a linearizable read through this node succeeds: then a leader serves."""
    return _in_a_thread(lambda: _serves_reads(address))


def _in_a_thread(ask: Callable[[], Answer]) -> Answer:
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(ask).result()


def _ask_nodes(addresses: Sequence[str]) -> dict[str, cluster_pb2.NodeStatusResponse]:
    answers = {}
    with ExitStack() as stack:
        calls = {}
        for address in addresses:
            channel = stack.enter_context(blocking_channel(address, OPTIONS))
            stub = cluster_pb2_grpc.ClusterStub(channel)  # type: ignore[no-untyped-call]
            request = cluster_pb2.NodeStatusRequest()
            calls[address] = stub.NodeStatus.future(request, timeout=ASK_SECONDS)
        for address, call in calls.items():
            with suppress(grpc.RpcError):
                answers[address] = call.result()
    return answers


def _serves_reads(address: str) -> bool:
    with blocking_channel(address, OPTIONS) as channel:
        stub = etcd_rpc_pb2_grpc.KVStub(channel)  # type: ignore[no-untyped-call]
        try:
            stub.Range(etcd_rpc_pb2.RangeRequest(key=b"\0", limit=1), timeout=ASK_SECONDS)
        except grpc.RpcError:
            return False
    return True
