"""Peer transports on free ports, with everything they report kept in lists."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

from coord.replication.levels import Levels
from coord.replication.peers.frames import frame_header, pack
from coord.replication.peers.handshake import PROTOCOL_VERSION, Hello, encode_hello
from coord.replication.peers.runs import OwnRun, PeerRuns
from coord.replication.peers.transport import PeerTransport, TransportLimits
from tests.support.waiting import eventually

FAST = TransportLimits(backoff_min_ms=5, backoff_max_ms=50, ping_interval_ms=50)


class Node:
    """A transport and what it called back with."""

    def __init__(
        self,
        node_id: str,
        cluster_id: str = "c",
        boot_id: int = 1,
        limits: TransportLimits = FAST,
        ssl_contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
        port: int = 0,
        level: int = 0,
        run_id: str = "",
        is_new: bool = False,
        runs: PeerRuns | None = None,
    ) -> None:
        self.node_id = node_id
        self.messages: list[tuple[str, Any]] = []
        self.events: list[tuple[str, str]] = []
        self.refusals: list[tuple[str, object]] = []
        self.levels = Levels(level)
        self.copied: list[tuple[str, str]] = []
        server, client = ssl_contexts or (None, None)
        self.transport = PeerTransport(
            node_id,
            cluster_id,
            lambda: OwnRun(boot_id, run_id, is_new),
            f"127.0.0.1:{port}",
            on_message=lambda peer, message: self.messages.append((peer, message)),
            on_connected=lambda peer: self.events.append(("connected", peer)),
            on_disconnected=lambda peer: self.events.append(("disconnected", peer)),
            on_refused=lambda peer, members: self.refusals.append((peer, members)),
            members=lambda: {"of": node_id},
            on_copied=lambda peer, what: self.copied.append((peer, what)),
            runs=runs,
            levels=self.levels,
            limits=limits,
            rng=random.Random(1),
            ssl_server=server,
            ssl_client=client,
        )

    async def __aenter__(self) -> Node:
        await self.transport.start()
        self.port = self.transport.listen_port
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.transport.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def connect(*nodes: Node) -> None:
    """Make all of them peers of each other."""
    addresses = {node.node_id: node.address for node in nodes}
    for node in nodes:
        node.transport.set_peers(addresses)


async def linked(*nodes: Node) -> None:
    """Make all of them peers of each other and wait for all connections."""
    connect(*nodes)
    for node in nodes:
        for other in nodes:
            if other is not node:
                await eventually(
                    lambda n=node, o=other: n.transport.connected(o.node_id), what="linked"
                )


def frame(message: object) -> bytes:
    payload = pack(message)
    return frame_header(payload) + payload


def old_hello(node_id: str, target_id: str, boot_id: int = 1) -> bytes:
    """As builds send it that know of no levels and no run ids."""
    return frame(
        {
            "magic": "coord-peer",
            "version": 1,
            "cluster": "c",
            "node": node_id,
            "target": target_id,
            "boot": boot_id,
        }
    )


class RawPeer:
    """A hand-made dialling side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, port: int) -> RawPeer:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def hello(
        self,
        node_id: str,
        target_id: str,
        *,
        cluster_id: str = "c",
        boot_id: int = 1,
        version: int = PROTOCOL_VERSION,
        run_id: str = "",
        is_new: bool = False,
    ) -> None:
        hello = Hello(
            cluster_id, node_id, target_id, boot_id, version, run_id=run_id, is_new=is_new
        )
        payload = encode_hello(hello)
        self.writer.write(frame_header(payload) + payload)

    async def answer(self) -> bytes:
        """One frame's payload."""
        header = await asyncio.wait_for(self.reader.readexactly(8), 10)
        return await asyncio.wait_for(
            self.reader.readexactly(int.from_bytes(header[:4], "big")), 10
        )

    async def end(self) -> bytes:
        """What is left to read until the other side closes."""
        try:
            return await asyncio.wait_for(self.reader.read(-1), 10)
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return
