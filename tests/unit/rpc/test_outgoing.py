"""The end of what a stream has to say."""

from __future__ import annotations

import asyncio

import pytest

from coord.rpc.streams import outgoing
from coord.rpc.streams.outgoing import Outgoing
from tests.support.waiting import eventually


class Wire:
    """Takes messages while it is open."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.written: list[bytes] = []
        self.open = asyncio.Event()

    async def write(self, message: bytes) -> None:
        self.begun.append(message)
        await self.open.wait()
        self.written.append(message)


async def test_a_stream_does_not_end_in_the_middle_of_a_message() -> None:
    wire = Wire()
    out = Outgoing(wire.write)
    out.put(b"on its way")
    await eventually(lambda: wire.begun)
    out.put(b"too late")
    closing = asyncio.create_task(out.close())
    await asyncio.sleep(0)
    out.put(b"later still")
    assert not closing.done()
    wire.open.set()
    await asyncio.wait_for(closing, 5)
    assert wire.written == [b"on its way"]


async def test_a_message_that_nobody_takes_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outgoing, "LAST_WRITE_S", 0.01)
    wire = Wire()
    out = Outgoing(wire.write)
    out.put(b"stuck")
    await eventually(lambda: wire.begun)
    await asyncio.wait_for(out.close(), 5)
    assert wire.written == []
