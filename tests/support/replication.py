"""Real replicators in one process, talking over loopback TCP, with a toy state machine each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chaos.sim.machine import LogMachine
from coord.journal import FileSystem
from coord.replication.port import Member, ReplicationError, Role
from coord.replication.replicator import PySyncObjReplicator
from coord.replication.settings import ReplicaSettings, ReplicationConfig
from tests.support.waiting import eventually


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def members_of(*ids: str, learners: Sequence[str] = ()) -> tuple[Member, ...]:
    """Members without real addresses, those of `learners` last."""
    voters = [Member(node_id, f"{node_id}:1", f"{node_id}:2") for node_id in ids]
    return (*voters, *(Member(i, f"{i}:1", f"{i}:2", learner=True) for i in learners))


class RealCluster:
    """Use as an async context manager; nodes can be stopped and started again."""

    def __init__(
        self,
        path: Path,
        count: int = 3,
        settings: ReplicaSettings | None = None,
        file_systems: dict[str, FileSystem] | None = None,
    ) -> None:
        ports = free_ports(count)
        ids = [f"n{i + 1}" for i in range(count)]
        self.founders = tuple(
            Member(node_id, f"127.0.0.1:{port}", "")
            for node_id, port in zip(ids, ports, strict=True)
        )
        self._path = path
        self._settings = settings or ReplicaSettings()
        self._file_systems = file_systems or {}
        self.ids = ids
        self.members: dict[str, tuple[Member, ...]] = {}  # in the configuration of some nodes
        self.machines: dict[str, LogMachine] = {}
        self.replicators: dict[str, PySyncObjReplicator] = {}
        self.failures: dict[str, BaseException] = {}

    async def __aenter__(self) -> RealCluster:
        await asyncio.gather(*(self.start(node_id) for node_id in self.ids))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self.stop(node_id) for node_id in list(self.replicators)))

    def new_member(self, node_id: str) -> Member:
        """A node that is not a member yet; `start` gives it the members so far, and itself."""
        (port,) = free_ports(1)
        self.ids.append(node_id)
        member = Member(node_id, f"127.0.0.1:{port}", f"{node_id} for clients")
        self.members[node_id] = (*self.founders, member)
        return member

    async def start(self, node_id: str) -> PySyncObjReplicator:
        machine = self.machines[node_id] = LogMachine()
        config = ReplicationConfig(
            self_id=node_id,
            cluster_id="test",
            members=self.members.get(node_id, self.founders),
            data_dir=str(self._path / node_id),
            replica=replace(self._settings),
        )
        replicator = PySyncObjReplicator(config, machine, fs=self._file_systems.get(node_id))
        replicator.on_fatal(lambda error: self.failures.__setitem__(node_id, error))
        await replicator.start()
        self.replicators[node_id] = replicator
        return replicator

    async def stop(self, node_id: str) -> None:
        replicator = self.replicators.pop(node_id)
        await replicator.stop()

    def leader_id(self) -> str | None:
        leaders = [
            (r.status().term, node_id)
            for node_id, r in self.replicators.items()
            if r.status().role is Role.LEADER
        ]
        return max(leaders)[1] if leaders else None

    async def leader(self) -> PySyncObjReplicator:
        """The leader, as soon as there is one that can commit."""
        await eventually(lambda: self.leader_id() is not None)
        node_id = self.leader_id()
        assert node_id is not None
        return self.replicators[node_id]

    async def propose(self, data: bytes, timeout_s: float = 10.0) -> object:
        """Propose until it is acknowledged (it may then be in the log more than once)."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                leader = await self.leader()
                return await asyncio.wait_for(leader.propose(data), 2.0)
            except (ReplicationError, TimeoutError):
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.01)

    async def converged(self, timeout_s: float = 10.0) -> None:
        """Wait until all running nodes have applied the same log."""

        def same() -> bool:
            digests = {self.machines[node_id].digest for node_id in self.replicators}
            return len(digests) == 1

        await eventually(same, timeout_s)
