"""Every way to hurt a link does what it says, and heals."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from chaos.testbed.proxy import CLEAR, CUT, RETRANSMISSION_MS, Condition, Door, Link, Links, Mode
from chaos.testbed.socket_owner import CLIENTS, owner_of

SOON_S, NEVER_S = 5.0, 0.15


@dataclass
class Path:
    """A client's connection through a door to a server that sends everything back."""

    links: Links
    door: Door
    forth: Link
    back: Link

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.door.port)


@pytest.fixture
async def path() -> AsyncIterator[Path]:
    writers: list[asyncio.StreamWriter] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    links = Links()
    door = Door(links, "n1", server.sockets[0].getsockname()[1], lambda port, door_port: "client")
    await door.open()
    yield Path(links, door, links.between("client", "n1"), links.between("n1", "client"))
    await door.close()
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()


async def arrives(reader: asyncio.StreamReader, expected: bytes) -> float:
    """Seconds until the bytes are there."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await asyncio.wait_for(reader.readexactly(len(expected)), SOON_S) == expected
    return loop.time() - started


async def nothing_arrives(reader: asyncio.StreamReader) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), NEVER_S)


async def test_a_whole_link_passes_everything_in_order(path: Path) -> None:
    reader, writer = await path.connect()
    data = os.urandom(3_000_000)
    writer.write(data)
    await arrives(reader, data)
    assert path.forth.passed_bytes == path.back.passed_bytes == len(data)
    writer.close()


@pytest.mark.parametrize("direction", ["forth", "back"])
async def test_a_cut_holds_one_direction_until_it_is_mended(path: Path, direction: str) -> None:
    reader, writer = await path.connect()
    writer.write(b"a")
    await arrives(reader, b"a")
    link = getattr(path, direction)
    link.set(CUT)
    writer.write(b"b")
    await nothing_arrives(reader)
    assert path.forth.passed_bytes == (1 if direction == "forth" else 2)
    link.set(CLEAR)
    await arrives(reader, b"b")
    writer.close()


async def test_no_connection_comes_about_over_a_cut(path: Path) -> None:
    path.back.set(CUT)
    reader, writer = await path.connect()
    writer.write(b"a")
    await nothing_arrives(reader)
    path.links.clear()
    await arrives(reader, b"a")
    writer.close()


async def test_a_refused_link_ends_connections_and_lets_no_new_one_pass(path: Path) -> None:
    reader, writer = await path.connect()
    writer.write(b"a")
    await arrives(reader, b"a")
    path.forth.set(Condition(Mode.REFUSE))
    for _ in range(2):
        with pytest.raises((ConnectionError, EOFError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), SOON_S)
        writer.close()
        reader, writer = await path.connect()
    writer.close()
    path.links.clear()
    reader, writer = await path.connect()
    writer.write(b"b")
    await arrives(reader, b"b")
    writer.close()


async def test_a_reset_ends_connections_and_new_ones_pass(path: Path) -> None:
    reader, writer = await path.connect()
    writer.write(b"a")
    await arrives(reader, b"a")
    path.back.reset()
    with pytest.raises((ConnectionError, EOFError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), SOON_S)
    writer.close()
    reader, writer = await path.connect()
    writer.write(b"b")
    await arrives(reader, b"b")
    writer.close()


async def test_delay_holds_every_byte_that_long(path: Path) -> None:
    reader, writer = await path.connect()
    path.forth.set(Condition(delay_ms=150))
    writer.write(b"a")
    assert await arrives(reader, b"a") >= 0.145
    path.links.clear()
    writer.close()


async def test_what_is_lost_comes_a_retransmission_later(path: Path) -> None:
    reader, writer = await path.connect()
    path.forth.set(Condition(loss_permille=500))
    took = []
    for _ in range(12):
        writer.write(b"a")
        took.append(await arrives(reader, b"a"))
    late = [seconds for seconds in took if seconds >= RETRANSMISSION_MS / 1_000 * 0.97]
    assert 0 < len(late) < len(took)
    path.links.clear()
    writer.write(b"b")
    assert await arrives(reader, b"b") < RETRANSMISSION_MS / 1_000
    writer.close()


async def test_bandwidth_bounds_the_rate_and_ends_at_once_when_healed(path: Path) -> None:
    reader, writer = await path.connect()
    path.links.update("client", "n1", bandwidth=100_000)
    writer.write(bytes(20_000))
    assert await arrives(reader, bytes(20_000)) >= 0.19
    path.links.update("client", "n1", bandwidth=10)
    writer.write(bytes(10_000))
    await nothing_arrives(reader)
    path.links.clear()
    await arrives(reader, bytes(10_000))
    writer.close()


async def test_changes_of_one_kind_leave_the_others(path: Path) -> None:
    path.links.update("client", "n1", mode=Mode.DROP)
    path.links.update("client", "n1", delay_ms=5.0)
    assert path.forth.condition == Condition(Mode.DROP, delay_ms=5.0)


async def test_the_end_of_one_side_reaches_the_other_after_its_bytes(path: Path) -> None:
    reader, writer = await path.connect()
    writer.write(b"last words")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(-1), SOON_S) in {b"last words", b""}
    writer.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs Linux")
async def test_the_owner_of_a_connection_is_found() -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    door_port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", door_port)
    port = writer.get_extra_info("sockname")[1]
    assert owner_of(port, door_port, {"other": 1, "this": os.getpid()}) == "this"
    assert owner_of(port, door_port, {"other": 1}) == CLIENTS
    assert owner_of(1, 2, {"this": os.getpid()}) == CLIENTS
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
