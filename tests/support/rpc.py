"""One in-process node over a `LocalReplicator`, and stubs of every service."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from coord.core.base.levels import HIGHEST_LEVEL
from coord.pb import (
    cluster_pb2_grpc,
    etcd_rpc_pb2_grpc,
    lock_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    task_pb2_grpc,
)
from coord.replication.local import LocalReplicator
from coord.replication.port import Member, ReplicaStatus, Role
from coord.rpc.server import RpcServer, ServerSettings
from coord.rpc.streams.work import WorkStreams


def work_streams(server: RpcServer) -> WorkStreams:
    """The streams of the workers at a node."""
    return next(one for one in server.streams if isinstance(one, WorkStreams))


SETTINGS = ServerSettings(cluster_id="test", node_id="n1", listen="127.0.0.1:0", hold_back_ms=20)


class Stubs:
    """Every service of one node, over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.sessions: Any = session_pb2_grpc.SessionsStub(channel)
        self.tasks: Any = task_pb2_grpc.TasksStub(channel)
        self.locks: Any = lock_pb2_grpc.LocksStub(channel)
        self.cluster: Any = cluster_pb2_grpc.ClusterStub(channel)
        self.kv: Any = etcd_rpc_pb2_grpc.KVStub(channel)
        self._sessions_opened = 0

    async def open_session(self, ttl_ms: int = 10_000, **fields: Any) -> int:
        """The id of a new session."""
        self._sessions_opened += 1
        nonce = f"{id(self)}-{self._sessions_opened}".encode()
        reply = await self.sessions.Open(
            session_pb2.OpenSessionRequest(ttl_ms=ttl_ms, nonce=nonce, kind="client", **fields)
        )
        return int(reply.session_id)


class FollowerReplicator(LocalReplicator):
    """A node that follows a leader elsewhere; `follow` says whom, `age` how old its state is."""

    leader: Member | None = None
    age: int | None = None

    def age_ms(self) -> int | None:
        return self.age

    def follow(self, leader: Member | None) -> None:
        """A leader is known from now on, or none (None)."""
        self.leader = leader
        self.set_role(Role.FOLLOWER)

    def status(self) -> ReplicaStatus:
        status = super().status()
        if self.leader is None:
            return replace(status, leader_id=None)
        return replace(
            status,
            role=Role.FOLLOWER,
            leader_id=self.leader.node_id,
            members=(*status.members, self.leader),
        )


class LocalNode:
    """A served node and its parts."""

    def __init__(self, server: RpcServer, replicator: LocalReplicator, stubs: Stubs) -> None:
        self.server = server
        self.replicator = replicator
        self.stubs = stubs

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def log_index(self) -> int:
        """How far the log goes: unchanged = nothing was logged."""
        return self.replicator.status().last_log_index


@asynccontextmanager
async def local_node(
    settings: ServerSettings = SETTINGS,
    *,
    follower: bool = False,
    level: int = HIGHEST_LEVEL,
    wiring: Mapping[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[LocalNode]:
    """A node that leads a cluster of one; as a follower, its replicator is a FollowerReplicator.
    `level`: the highest feature level that its build is said to support. `wiring`: of the server:
    its services, streams and interceptors."""
    settings = replace(settings, **changes)
    member = Member(settings.node_id, "", "127.0.0.1:1")
    kind = FollowerReplicator if follower else LocalReplicator
    server = RpcServer(
        settings,
        lambda machine: kind(settings.node_id, machine, members=(member,), highest_level=level),
        **(wiring or {}),
    )
    replicator = server.replicator
    assert isinstance(replicator, LocalReplicator)
    await server.start()
    if not follower:
        await replicator.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        try:
            yield LocalNode(server, replicator, Stubs(channel))
        finally:
            await server.announce_leaving()
            server.refuse_calls()
            await server.stop(0.5)
            await replicator.stop()


async def refused(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str], str]:
    """(code, reason, metadata, message) of a call that must fail."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                info = error_details_pb2.ErrorInfo()
                assert status.details[0].Unpack(info)
                assert info.domain == "coord"
                assert info.metadata["definite"] in ("true", "false")
                return error.code(), info.reason, dict(info.metadata), error.details() or ""
        return error.code(), "", {}, error.details() or ""
    raise AssertionError(f"was not refused: {answer}")


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
