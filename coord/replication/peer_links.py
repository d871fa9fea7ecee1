"""A node's connections to its peers, as its replication needs them: whom they are kept to, which
runs and feature levels of the peers are taken, and what a peer knows of this node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coord.journal import PeerRun
from coord.ratelimit import LogLimiter
from coord.replication.boot import OpenStorage
from coord.replication.driver import ReplicaDriver
from coord.replication.errors import CopiedDirectoryError, LevelTooHighError
from coord.replication.levels import Levels
from coord.replication.peers.runs import COPY_ADVICE, OwnRun, PeerRuns
from coord.replication.peers.runs_keeper import RunsKeeper
from coord.replication.peers.transport import PeerTransport
from coord.replication.settings import ReplicationConfig


class PeerLinks:
    """`run_id`: of this run of the node. `failed(error)`: the node must stop."""

    def __init__(
        self,
        config: ReplicationConfig,
        storage: OpenStorage,
        driver: ReplicaDriver,
        levels: Levels,
        run_id: str,
        wall_ms: Callable[[], int],
        failed: Callable[[BaseException], None],
        log: Any,
        limiter: LogLimiter,
    ) -> None:
        self._storage = storage
        self._driver = driver
        self._levels = levels
        self._run_id = run_id
        self._failed = failed
        self._log = log
        self._limiter = limiter
        self._marking: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._runs = PeerRuns(
            storage.boot.peer_runs, changed=self._peer_runs_changed, wall_ms=wall_ms
        )
        self._keeper = RunsKeeper(storage.peer_runs.store, self._known_runs, log)
        self.transport = PeerTransport(
            config.self_id,
            config.cluster_id,
            self.own_run,
            config.listen_address or config.own.peer_address,
            on_message=driver.on_message,
            on_connected=driver.on_connected,
            on_disconnected=driver.on_disconnected,
            on_refused=driver.on_refused,
            members=self._members,
            on_copied=self._copied,
            runs=self._runs,
            levels=levels,
        )

    async def stop(self) -> None:
        """End all connections, and store what is known of the peers. Idempotent."""
        for ending in (self._closing, self._marking):
            if ending is not None:
                await ending
        await self.transport.stop()
        await self._keeper.stop()

    def close(self) -> None:
        """Begin to end all connections: the others need not wait for a silent node."""
        self._closing = asyncio.get_running_loop().create_task(self.transport.stop())

    def talk_to(self, addresses: dict[str, str]) -> None:
        """Keep connections to these, and to no others."""
        if self._driver.active is not None:
            self._limiter.log(self._log.info, "peers_changed", peers=sorted(addresses))
            self.transport.set_peers(addresses)

    def own_run(self) -> OwnRun:
        """Return which run of the node this is."""
        replica = self._driver.replica
        own = replica.own_run if replica is not None else OwnRun(0, is_new=True)
        return replace(own, run_id=self._run_id, runs=self._storage.peer_runs.own)

    def require_level(self, level: int) -> None:
        """Require a feature level of all connections, and of this build."""
        if self._driver.active is None or level <= self._levels.required:
            return
        try:
            self.transport.require_level(level)
            check_own_level(self._levels)
        except LevelTooHighError as error:
            self._failed(error)
        else:
            self._log.info("level_required_of_peers", level=level)

    def _known_runs(self) -> dict[str, PeerRun]:
        return self._runs.known

    def _peer_runs_changed(self) -> None:
        self._keeper.changed()

    def _members(self) -> object:
        """What a node gets that is refused because it is not known."""
        replica = self._driver.replica
        return None if replica is None else replica.reconfiguration.farewell()

    def _copied(self, peer_id: str, what: str) -> None:
        """A peer has seen a run of this node that cannot be, or be beside this one."""
        if self.own_run().is_new or self._driver.active is None:
            return
        why = f"{peer_id} refuses this node: {what}. {COPY_ADVICE}."
        loop = self._driver.running_loop()
        self._marking = asyncio.ensure_future(
            loop.run_in_executor(None, self._storage.mark_copied, why)
        )
        self._failed(CopiedDirectoryError(why))


def check_own_level(levels: Levels) -> None:
    """Raises LevelTooHighError if this build does not support the level in force."""
    own, required = levels.own, levels.required
    if required > own:
        raise LevelTooHighError(
            f"the cluster is at feature level {required}, and this build supports {own} at "
            f"most: install a build that supports level {required} and start this node again; "
            "its data directory is in order"
        )
