"""TCP links that can be hurt: what lies between the nodes, and between clients and nodes.

Theory of operation. A `Door` listens on a loopback port and forwards to one target. Each connection
through it runs over a directed pair of `Link`s, forth and back, named by who is at the two ends.
The state of a link says what happens to bytes going that way: they pass, they are held back (a
black hole: nothing arrives, nobody is told, and TCP keeps them for later), delayed, or let through
at a bounded rate. A refused link closes its connections and accepts no new ones. Bytes of one
connection never overtake each other.

Held back rather than dropped: to its ends a TCP connection over a cut network looks just so, and
after the heal retransmission delivers what was under way.

No privileges are needed. All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

HOST = "127.0.0.1"
CONNECT_TIMEOUT_S = 2.0
CHUNK_BYTES = 64 * 1024
RETRANSMISSION_MS = 200.0  # the least that Linux waits before it sends again
MAX_HELD_BYTES = 4 * 1024 * 1024  # of one direction of one connection; then reading stops


class Mode(StrEnum):
    PASS = "pass"
    DROP = "drop"  # a black hole: connections stay open, nothing arrives
    REFUSE = "refuse"  # connections are reset, new ones too


@dataclass(frozen=True, slots=True)
class Condition:
    """How a link treats bytes. `bandwidth`: bytes per second of each connection, 0 = unlimited.
    `loss_permille`: that many pieces are late by a retransmission; behind a TCP connection a lost
    packet shows as nothing else."""

    mode: Mode = Mode.PASS
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth: int = 0
    loss_permille: int = 0


CLEAR = Condition()
CUT = Condition(mode=Mode.DROP)


@dataclass(eq=False)
class Link:
    """One direction between two ends. Set `condition` through `Links`."""

    source: str
    target: str
    condition: Condition = CLEAR
    passed_bytes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    streams: set[_Stream] = field(default_factory=set)

    def set(self, condition: Condition) -> None:
        self.condition = condition
        waiting, self.changed = self.changed, asyncio.Event()
        waiting.set()
        if condition.mode is Mode.REFUSE:
            self.reset()

    def reset(self) -> None:
        """Break every connection that runs over this link, as an RST would."""
        for stream in tuple(self.streams):
            stream.abort()


class Links:
    """Every directed link by the names of its ends; made when first asked for."""

    def __init__(self, seed: int = 0, make: Callable[[str, str], Link] = Link) -> None:
        self.rng = random.Random(seed)
        self._make = make
        self._links: dict[tuple[str, str], Link] = {}

    def between(self, source: str, target: str) -> Link:
        link = self._links.get((source, target))
        if link is None:
            link = self._links[source, target] = self._make(source, target)
        return link

    def all(self) -> list[Link]:
        return list(self._links.values())

    def clear(self) -> None:
        """Every link is whole again."""
        for link in self._links.values():
            if link.condition != CLEAR:
                link.set(CLEAR)

    def update(self, source: str, target: str, **changes: object) -> None:
        link = self.between(source, target)
        link.set(replace(link.condition, **changes))  # type: ignore[arg-type]


Namer = Callable[[int, int], str]


class Door:
    """A listening port in front of `target_port`, where `target` lives. `name_source` tells who
    opened a connection, from the port it came from and the port it came to."""

    def __init__(self, links: Links, target: str, target_port: int, name_source: Namer) -> None:
        self.port = 0
        self._links, self._target, self._target_port = links, target, target_port
        self._name_source = name_source
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0) -> int:
        """Listen (0: on any free port); returns the port."""
        self._server = await asyncio.start_server(self._accept, HOST, port, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()  # connections end in many ways here, all of them meant
        else:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = self._name_source(writer.get_extra_info("peername")[1], self.port)
        forth = self._links.between(source, self._target)
        back = self._links.between(self._target, source)
        await _until_may_open(forth, back)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            there, onward = await asyncio.open_connection(HOST, self._target_port)
        rng = self._links.rng
        streams = (_Stream(forth, reader, onward, rng), _Stream(back, there, writer, rng))
        try:
            await _first_end(*(stream.run() for stream in streams))
        except BaseException:
            onward.transport.abort()
            raise
        onward.close()  # sends what is written and not yet taken


async def _until_may_open(forth: Link, back: Link) -> None:
    """A handshake needs both directions. The dialling side sees an open connection, as the proxy
    has accepted it, but no answer: its own handshake must time out."""
    while True:
        conditions = (forth.condition.mode, back.condition.mode)
        if Mode.REFUSE in conditions:
            raise ConnectionResetError
        if Mode.DROP not in conditions:
            return
        waiting = forth if forth.condition.mode is Mode.DROP else back
        await waiting.changed.wait()


class _Stream:
    """One direction of one connection: reads, holds each chunk for as long as the link says, and
    writes in order."""

    def __init__(
        self,
        link: Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        rng: random.Random,
    ) -> None:
        self._link, self._reader, self._writer, self._rng = link, reader, writer, rng
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._reset = asyncio.Event()

    def abort(self) -> None:
        self._reset.set()

    async def run(self) -> None:
        self._link.streams.add(self)
        try:
            await _first_end(self._read(), self._write(), self._until_reset())
        finally:
            self._link.streams.discard(self)

    async def _until_reset(self) -> None:
        await self._reset.wait()
        raise ConnectionResetError

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        while data := await self._reader.read(CHUNK_BYTES):
            self._held.append((clock() + self._delay_ms() / 1_000, data))
            self._held_bytes += len(data)
            self._arrived.set()
            while self._held_bytes > MAX_HELD_BYTES:
                self._room.clear()
                await self._room.wait()
        self._held.append((0.0, b""))
        self._arrived.set()
        await asyncio.Event().wait()  # the writing half ends the stream, after what is held

    def _delay_ms(self) -> float:
        condition, rng = self._link.condition, self._rng
        delay_ms = condition.delay_ms + rng.uniform(0, condition.jitter_ms)
        while condition.loss_permille and rng.randrange(1_000) < condition.loss_permille:
            delay_ms += RETRANSMISSION_MS
        return delay_ms

    async def _write(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            while not self._held:
                self._arrived.clear()
                await self._arrived.wait()
            due, data = self._held.popleft()
            if due > clock():
                await asyncio.sleep(due - clock())
            while self._link.condition.mode is Mode.DROP:
                await self._link.changed.wait()
            if not data:
                return
            if self._link.condition.bandwidth:
                await self._squeeze(len(data) / self._link.condition.bandwidth)
            if self._writer.is_closing():
                raise ConnectionResetError
            self._writer.write(data)
            await self._writer.drain()
            self._link.passed_bytes += len(data)
            self._held_bytes -= len(data)
            self._room.set()

    async def _squeeze(self, seconds: float) -> None:
        """Wait so long, or until the link is changed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._link.changed.wait(), seconds)


async def _first_end(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends; the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
