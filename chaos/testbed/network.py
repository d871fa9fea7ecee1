"""What lies between the nodes under test, and between clients and them: a place where every way can
be hurt. This one needs no privileges; `chaos.testbed.netns` has the other."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from chaos.testbed.proxy import Door, Links, Namer
from chaos.testbed.socket_owner import owner_of
from coord.localcluster import free_base_port
from coord.localcluster.state import NodeLayout

PEER_OFFSET = 100
Pids = Callable[[], Mapping[str, int]]


class NetworkError(Exception):
    """The network could not be set up; the text says what is missing."""


class Network(ABC):
    """`name` in options. `links`: every directed way by the names of its ends."""

    name: ClassVar[str]
    links: Links

    def __init__(self, node_ids: Sequence[str], seed: int) -> None:
        self.node_ids = list(node_ids)

    @classmethod
    def why_not(cls) -> str:
        """Why this machine cannot do it; empty if it can."""
        return ""

    @classmethod
    def lacks(cls) -> frozenset[str]:
        """What it cannot do to links on this machine, of "delay" and "loss"."""
        return frozenset()

    @abstractmethod
    async def open(self, pids: Pids) -> None:
        """`pids` tells the nodes' processes at any time. Raises NetworkError."""

    @abstractmethod
    async def close(self) -> None:
        """Nothing of it is left. Idempotent."""

    @abstractmethod
    def listening(self, node_id: str) -> NodeLayout:
        """Where the node is to listen."""

    @abstractmethod
    def members(self) -> list[NodeLayout]:
        """All nodes, as everybody knows them."""

    @abstractmethod
    def client_address(self, node_id: str) -> str:
        """Where clients reach the node, unless they are cut off."""

    def direct_address(self, node_id: str) -> str:
        """Where the harness reaches it in any case."""
        return self.listening(node_id).client_address

    def command(self, node_id: str, argv: list[str]) -> list[str]:
        """What starts this command where the node lives."""
        return argv

    def remover(self) -> list[list[str]]:
        """Commands that remove what would outlive a harness that was killed."""
        return []


class ProxyNetwork(Network):
    """Nodes on loopback, with a door in front of every way in.

    Every node has one address for calls and one for peers, the same for everybody, as members may
    come and go; the doors find out who is calling, so each direction between two nodes is a link.
    Nobody knows other addresses, so whatever is cut is cut for everybody."""

    name: ClassVar[str] = "proxy"

    def __init__(self, node_ids: Sequence[str], seed: int) -> None:
        super().__init__(node_ids, seed)
        self.links = Links(seed)
        base = free_base_port(len(node_ids), PEER_OFFSET)
        self._listening = {
            node_id: NodeLayout(node_id, base + i, base + PEER_OFFSET + i)
            for i, node_id in enumerate(node_ids)
        }
        self._doors: list[Door] = []
        self._client_ports: dict[str, int] = {}
        self._peer_ports: dict[str, int] = {}

    async def open(self, pids: Pids) -> None:
        def caller(port: int, door_port: int) -> str:
            return owner_of(port, door_port, pids())

        for node_id, own in self._listening.items():
            self._client_ports[node_id] = await self._door(node_id, own.client_port, caller)
            self._peer_ports[node_id] = await self._door(node_id, own.peer_port, caller)

    async def close(self) -> None:
        await asyncio.gather(*(door.close() for door in self._doors))
        self._doors.clear()

    def listening(self, node_id: str) -> NodeLayout:
        return self._listening[node_id]

    def members(self) -> list[NodeLayout]:
        return [
            NodeLayout(node_id, self._client_ports[node_id], self._peer_ports[node_id])
            for node_id in self.node_ids
        ]

    def client_address(self, node_id: str) -> str:
        return f"127.0.0.1:{self._client_ports[node_id]}"

    async def _door(self, node_id: str, target_port: int, name_source: Namer) -> int:
        door = Door(self.links, node_id, target_port, name_source)
        self._doors.append(door)
        return await door.open()
