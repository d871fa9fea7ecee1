"""One node: the place where everything is wired, started and stopped in order."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from coord.core.base.levels import HIGHEST_LEVEL
from coord.journal.errors import StorageError
from coord.journal.filesystem import FileSystem, OsFileSystem
from coord.node.config import ServerConfig
from coord.ratelimit import LogLimiter
from coord.replication.election import ElectionTimes
from coord.replication.errors import (
    EngineVersionError,
    FatalReplicaError,
    RemovedFromClusterError,
)
from coord.replication.local import LocalReplicator
from coord.replication.port import (
    ReplicaStatus,
    ReplicationError,
    Replicator,
    Role,
    StateMachine,
)
from coord.replication.replicator import PySyncObjReplicator
from coord.replication.settings import ReplicaSettings, ReplicationConfig
from coord.rpc.server import RpcServer, ServerSettings
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.gc import ScheduledGc
from coord.runtime.logs import set_up_logs
from coord.runtime.proposer import ProposerLimits

EXIT_OK = 0
EXIT_FATAL = 70  # sysexits.h EX_SOFTWARE: the node stopped itself rather than go on wrongly

_LOOK_AGAIN_S = 0.1
# Nodes wait for different times, between the election timeout and this many times it.
_ELECTION_SPREAD = 1.7
# A log that has grown to so many times what makes a snapshot due may grow no further.
_LOG_FACTOR = 4
_SMALLEST_MAX_LOG = 64 * 1024 * 1024
# What an entry adds to the requests in it.
_ENTRY_SLACK = 1024 * 1024


class CannotStartError(Exception):
    """The node could not be started; the text says why and what to do. Nothing is left running."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The disk and the clocks a node lives on."""

    fs: FileSystem = field(default_factory=OsFileSystem)
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall_ns: Callable[[], int] = time.time_ns


class Node:
    """A node of a cluster. `start` it, or `run` it until it is told to stop. `machine`: this one,
    unless another is given."""

    def __init__(self, config: ServerConfig, machine: Hardware | None = None) -> None:
        self.config = config
        self._machine = machine or Hardware()
        self._log = structlog.get_logger("coord.node")
        self._server: RpcServer | None = None
        self._gc = ScheduledGc()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._fatal: BaseException | None = None
        self._serving = False
        # A peer can make terms rise as fast as it sends.
        self._limiter = LogLimiter(time.monotonic, burst=50, interval_s=1.0)
        self._shown: tuple[Role, int, str | None] | None = None

    @property
    def server(self) -> RpcServer:
        """The serving side; only after `start`."""
        assert self._server is not None, "start first"
        return self._server

    async def start(self) -> None:
        """Open the data directory, recover, take part, serve. Raises CannotStartError."""
        try:
            await self._start()
        except (StorageError, FatalReplicaError, EngineVersionError, OSError) as error:
            raise CannotStartError(str(error)) from error
        self._gc.start()
        self._log.info("node.serving", address=self.config.advertise, port=self.server.port)
        self._serving = True
        status = self.server.replicator.status()
        self._on_role_change(status)
        self._tell_if_moved(status)

    async def _start(self) -> None:
        try:
            clock = ClusterClock(self._machine.monotonic_ns, self._machine.wall_ns)
            self._server = RpcServer(self._settings(), self._make_replicator, clock)
            replicator = self._server.replicator
            replicator.on_fatal(self._on_fatal)
            replicator.on_role_change(self._on_role_change)
            await replicator.start()
            await self._server.start()
        except BaseException:
            await self._tear_down(0)
            raise

    def _settings(self) -> ServerSettings:
        config = self.config
        return ServerSettings(
            cluster_id=config.cluster_id,
            node_id=config.node_id,
            listen=config.listen,
            max_message_bytes=config.max_message_bytes,
            leader_wait_ms=config.leader_wait_ms,
            hold_back_ms=config.hold_back_ms,
            debug=config.log_level == "debug",
            proposer=ProposerLimits(
                max_waiting=config.max_waiting_requests,
                max_waiting_bytes=config.max_waiting_bytes,
                max_entry_requests=config.max_entry_requests,
                max_entry_bytes=config.max_entry_bytes,
                pipeline=config.pipeline,
            ),
        )

    def _make_replicator(self, machine: StateMachine) -> Replicator:
        config, own = self.config, self._machine
        members = config.cluster_members()
        if config.in_memory:
            return LocalReplicator(
                config.node_id, machine, members=members, highest_level=HIGHEST_LEVEL
            )
        return PySyncObjReplicator(
            _replication_config(config),
            machine,
            fs=own.fs,
            clock=lambda: own.monotonic_ns() / 1e9,
            wall=lambda: own.wall_ns() / 1e9,
        )

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the node has to stop itself; an exit code.

        A second signal ends running calls at once. Raises CannotStartError."""
        set_up_logs(self.config.log_level, self.config.log_format, node_id=self.config.node_id)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask_to_stop)
        try:
            await self.start()
            await self._stopping.wait()
            await self.stop()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        return EXIT_OK if self._fatal is None else EXIT_FATAL

    def ask_to_stop(self) -> None:
        """Have `run` stop the node; asked twice, without waiting for anybody."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def stop(self) -> None:
        """Say so, hand leadership over, finish running calls, close. Idempotent."""
        if self._server is None:
            return
        self._log.info("node.stopping")
        await self._server.announce_leaving()
        if self._fatal is None:
            await self._hand_over()
        grace_ms = 0 if self._fatal is not None else self.config.shutdown_grace_ms
        await self._tear_down(grace_ms)
        self._log.info("node.stopped")

    async def _hand_over(self) -> None:
        replicator = self.server.replicator
        status = replicator.status()
        if status.role is not Role.LEADER or len(status.members) < 2:
            return
        transfer = asyncio.ensure_future(replicator.transfer_leadership())
        hurry = asyncio.ensure_future(self._hurry.wait())
        lost = asyncio.ensure_future(self._until_another_leads_or_nobody())
        try:
            await asyncio.wait(
                (transfer, hurry, lost),
                timeout=self.config.transfer_timeout_ms / 1000 + 0.5,
                return_when=asyncio.FIRST_COMPLETED,
            )
            successor = transfer.result() if transfer.done() else self.server.leadership.leader_id
            if successor is not None and successor != self.config.node_id:
                self._log.info("node.leadership_handed_over", to=successor)
            else:
                self._log.warning("node.leadership_not_handed_over", why="nobody took over in time")
        except ReplicationError as error:
            self._log.warning("node.leadership_not_handed_over", why=str(error))
        finally:
            for waiting in (transfer, hurry, lost):
                waiting.cancel()
                with suppress(asyncio.CancelledError, ReplicationError):
                    await waiting

    async def _until_another_leads_or_nobody(self) -> None:
        leadership = self.server.leadership
        while leadership.is_leader:
            await leadership.wait_for_change(_LOOK_AGAIN_S)
        # The successor's request for votes ends this leadership a moment before it has won.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.election_timeout_ms / 2000):
                while leadership.leader_id is None:
                    await leadership.wait_for_change(_LOOK_AGAIN_S)

    async def _tear_down(self, grace_ms: int) -> None:
        self._gc.stop()
        server, self._server = self._server, None
        if server is not None:
            server.refuse_calls()
            await server.stop(0 if self._hurry.is_set() else grace_ms / 1000)
            await server.replicator.stop()

    # ---- what replication reports

    def _on_fatal(self, error: BaseException) -> None:
        if isinstance(error, RemovedFromClusterError):
            self._log.warning("node.removed", why=str(error))
        elif self._fatal is None:
            self._fatal = error
            self._log.error(
                "node.fatal",
                error=type(error).__name__,
                why=str(error),
                revision=self._server.state_machine.machine.revision if self._server else 0,
            )
        self._stopping.set()

    def _tell_if_moved(self, status: ReplicaStatus) -> None:
        """The members and their addresses stand in the log; a configuration that says otherwise
        moves nobody, it only makes this node unreachable."""
        own = {member.node_id: member for member in self.config.cluster_members()}.get(
            status.node_id
        )
        known = {member.node_id: member for member in status.members}.get(status.node_id)
        if own is None or known is None:
            return
        configured = f"{own.peer_address} (clients: {own.client_address})"
        expected = f"{known.peer_address} (clients: {known.client_address})"
        if configured != expected:
            self._log.error(
                "node.moved",
                why=f"the others look for this node at {expected}, but it is configured for "
                f"{configured}, so they do not reach it; start it with the addresses that the "
                "members know, or move it: 'coord member remove' it, then 'coord member add' it "
                "with its new addresses and an empty data directory",
            )

    def _on_role_change(self, status: ReplicaStatus) -> None:
        """Say it, once the node serves: one that can not start says only why."""
        shown = (status.role, status.term, status.leader_id)
        if self._serving and shown != self._shown:
            self._shown = shown
            self._limiter.log(
                self._log.info,
                "node.role",
                role=status.role.value,
                term=status.term,
                leader=status.leader_id,
            )


def _replication_config(config: ServerConfig) -> ReplicationConfig:
    election_s = config.election_timeout_ms / 1000
    return ReplicationConfig(
        self_id=config.node_id,
        cluster_id=config.cluster_id,
        members=config.cluster_members(),
        data_dir=str(config.data_dir),
        listen_address=config.peer_listen,
        segment_bytes=config.segment_bytes,
        reserve_bytes=config.journal_reserve_bytes,
        replica=ReplicaSettings(
            heartbeat_s=config.heartbeat_interval_ms / 1000,
            election=ElectionTimes(min_s=election_s, max_s=election_s * _ELECTION_SPREAD),
            max_entry_bytes=max(config.max_entry_bytes, config.max_message_bytes) + _ENTRY_SLACK,
            transfer_s=config.transfer_timeout_ms / 1000,
            snapshot_entries=config.snapshot_entries,
            snapshot_bytes=config.snapshot_bytes,
            max_log_bytes=max(_LOG_FACTOR * config.snapshot_bytes, _SMALLEST_MAX_LOG),
            keep_entries=config.keep_entries,
            state_check_s=config.state_check_interval_ms / 1000,
            highest_level=HIGHEST_LEVEL,
        ),
    )
