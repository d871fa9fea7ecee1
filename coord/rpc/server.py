"""The gRPC side of one node, put together: services over a `Replicator`, in dependency order.

A service is one file with a class that has `name` and `methods()`, and one line in `SERVICES`. A
stream is one file with a `StreamService`, and one line in `STREAMS`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from coord.channels import INSECURE, Security, add_port
from coord.codec.envelope import BatchCache
from coord.codec.replies import ReplyEncoder
from coord.core.batch import Reply
from coord.replication.port import Replicator, StateMachine
from coord.rpc.call import Service
from coord.rpc.dispatcher import Dispatcher, Interceptor
from coord.rpc.etcd.kv import EtcdKvService
from coord.rpc.forwarding import Forwarder
from coord.rpc.health import Health
from coord.rpc.services.cluster import ClusterService
from coord.rpc.services.context import Backend, numeric_id
from coord.rpc.services.locks import LockService
from coord.rpc.services.sessions import SessionService
from coord.rpc.services.tasks import TaskService
from coord.rpc.streams.calls import CallStreams
from coord.rpc.streams.protocol import StreamHost, StreamService
from coord.rpc.streams.work import WorkStreams
from coord.rpc.well_formed import WellFormed
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.driver import Driver
from coord.runtime.errors import shutting_down
from coord.runtime.leader_view import LeaderView
from coord.runtime.machine_memory import usable_memory_bytes
from coord.runtime.parts import Part
from coord.runtime.proposer import ProposerLimits
from coord.runtime.state_machine import ReplicatedStateMachine
from coord.runtime.state_quota import StateQuota
from coord.runtime.watches import Watches

MakeService = Callable[[Backend], Service]
MakeStream = Callable[[Backend, Dispatcher], StreamService[Any]]

SERVICES: Final[tuple[MakeService, ...]] = (
    SessionService,
    TaskService,
    LockService,
    ClusterService,
    EtcdKvService,
)
STREAMS: Final[tuple[MakeStream, ...]] = (
    lambda _, dispatcher: CallStreams(dispatcher.answer),
    WorkStreams,
)
INTERCEPTORS: Final[tuple[Interceptor, ...]] = ()
"""What looks at each call before it is served."""

# Above our own limit, so that a little too much is refused with a reason.
_WIRE_SLACK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a node serves. `listen`: host:port; port 0 takes a free one."""

    cluster_id: str
    node_id: str
    listen: str
    max_message_bytes: int = 8 * 1024 * 1024
    leader_wait_ms: int = 2_000
    hold_back_ms: int = 250
    debug: bool = False
    memory_bytes: int = 0  # for all nodes on this machine; 0: as the machine says
    proposer: ProposerLimits = field(default_factory=ProposerLimits)
    security: Security = INSECURE


class RpcServer:
    """Serves the whole API of one node. `make_replicator` is given the state machine to drive."""

    def __init__(
        self,
        settings: ServerSettings,
        make_replicator: Callable[[StateMachine], Replicator],
        clock: ClusterClock | None = None,
        *,
        services: Sequence[MakeService] = SERVICES,
        streams: Sequence[MakeStream] = STREAMS,
        interceptors: Sequence[Interceptor] = INTERCEPTORS,
    ) -> None:
        self._settings = settings
        cache = BatchCache()
        self.clock = clock or ClusterClock()
        self.state_machine = ReplicatedStateMachine(self.clock, cache)
        self.replicator = make_replicator(self.state_machine)
        self.leadership = LeaderView(self.replicator)
        self.watches = Watches()
        self._driver: Driver[asyncio.Future[Reply]] = Driver(
            self.replicator,
            self.state_machine,
            self.clock,
            cache,
            self.leadership,
            asyncio.get_running_loop(),
            settings.proposer,
        )
        self.proposer = self._driver.proposer
        self.claim_queue = self._driver.claims
        self.levels = self._driver.levels
        self._forwarder = Forwarder(settings.node_id, self.leadership, security=settings.security)
        self._dispatcher = Dispatcher(
            settings.node_id,
            self.leadership,
            self._forwarder,
            max_message_bytes=settings.max_message_bytes,
            leader_wait_ms=settings.leader_wait_ms,
            debug=settings.debug,
            interceptors=interceptors,
        )
        self.answers = self._dispatcher.room
        self.backend = self._make_backend()
        self._services = [make(self.backend) for make in services]
        self._dispatcher.add(self._services)
        self.streams = [make(self.backend, self._dispatcher) for make in streams]
        self._stream_hosts = [
            StreamHost(one, self.answers, self._dispatcher.admit) for one in self.streams
        ]
        for one in self._stream_hosts:
            self._dispatcher.add_stream(one.service.path, one.rpc_handler())
        self._server: grpc.aio.Server | None = None
        self._health: Health | None = None
        self.port = 0
        self._parts: list[Part] = [self.watches, *self.streams, self._driver]
        for part in self._parts:
            self.state_machine.on_applied(part.on_applied)
            self.state_machine.on_restored(part.on_restored)
            self.leadership.on_change(part.on_leader_change)

    async def start(self) -> None:
        """Listen. The replicator is started by whoever made it, before or after.

        Raises OSError when the address cannot be had."""
        settings = self._settings
        await _require_address(settings.listen)
        server = grpc.aio.server(
            options=[
                (
                    "grpc.max_receive_message_length",
                    settings.max_message_bytes + _WIRE_SLACK_BYTES,
                ),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ]
        )
        server.add_generic_rpc_handlers((self._dispatcher,))
        names = list(dict.fromkeys(self._names()))
        self._health = Health(server, names)
        self.leadership.on_change(self._health.follow)
        shown = [*names, self._health.service_name, reflection.SERVICE_NAME]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(shown), WellFormed(server)
        )
        try:
            self.port = add_port(server, settings.listen, settings.security)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {settings.listen}: {error}") from error
        await server.start()
        self._server = server
        self.leadership.refresh()

    def _names(self) -> Iterator[str]:
        """The services offered: a service may have methods here and streams there."""
        yield from (service.name for service in self._services)
        yield from (stream.name for stream in self.streams)

    def _make_backend(self) -> Backend:
        settings = self._settings
        ids = (settings.cluster_id, settings.node_id)
        return Backend(
            *ids,
            replicator=self.replicator,
            state_machine=self.state_machine,
            clock=self.clock,
            proposer=self.proposer,
            watches=self.watches,
            claim_queue=self.claim_queue,
            leadership=self.leadership,
            levels=self.levels,
            forwarder=self._forwarder,
            encoder=ReplyEncoder(*ids, numeric_id(ids[0]), numeric_id(ids[1])),
            quota=StateQuota(settings.node_id, settings.memory_bytes or usable_memory_bytes()),
            hold_back_ms=settings.hold_back_ms,
        )

    async def announce_leaving(self) -> None:
        """First step of going: health says NOT_SERVING, workers are told to go elsewhere;
        everything is still served."""
        for host in self._stream_hosts:
            host.announce_leaving()
        if self._health is not None:
            await self._health.stop()

    def refuse_calls(self) -> None:
        """Second step: new calls and long polls are told to go elsewhere."""
        self._dispatcher.close()
        for host in self._stream_hosts:
            host.close()
        for part in self._parts:
            part.end_waits(shutting_down())

    async def stop(self, grace_s: float) -> None:
        """Last step: let running calls finish within the grace, then end them. Idempotent."""
        server, self._server = self._server, None
        self._driver.rest()
        if server is not None:
            await server.stop(grace_s)
        self.proposer.fail_waiting(shutting_down())
        await self._forwarder.close()


async def _require_address(address: str) -> None:
    """Raise OSError that says why, if this cannot be listened on: gRPC only says so in its log."""
    host, _, port = address.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except OSError as error:
        raise OSError(f"cannot listen on {address}: {error.strerror or error}") from error
