"""Agents that are connected and wait for work that never comes: on standard input where and how
many; ends when its input ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

import uvloop

from coord.client import Client

OPENING_AT_ONCE = 50


async def agent(number: int, endpoints: str, gate: asyncio.Semaphore, up: asyncio.Event) -> None:
    async with Client(
        endpoints, name=f"agent {number}", kind="worker", timeout_ms=30_000
    ) as client:
        async with gate:
            await client.open_session()
        async with client.tasks.work([f"idle{number % 10}"]) as work:
            await work.connected()
            up.set()
            await anext(work)


async def _all_set(events: list[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def serve() -> None:
    loop = asyncio.get_running_loop()
    wanted = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    gate = asyncio.Semaphore(OPENING_AT_ONCE)
    events = [asyncio.Event() for _ in range(wanted["agents"])]
    agents = [
        asyncio.ensure_future(agent(number, wanted["endpoints"], gate, up))
        for number, up in enumerate(events)
    ]
    everybody = asyncio.ensure_future(_all_set(events))
    # Agents never end by themselves: one that has ended has failed.
    await asyncio.wait({everybody, *agents}, return_when=asyncio.FIRST_COMPLETED)
    for one in agents:
        if one.done():
            one.result()
    sys.stdout.write(json.dumps({"ready": len(agents)}) + "\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)
    for one in agents:
        one.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*agents, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(serve())
