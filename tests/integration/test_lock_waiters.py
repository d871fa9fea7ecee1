"""Very many waiters on one lock: what each costs does not depend on how many there are."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.waiters_process import Plan
from coord.client import Client
from coord.pb import common_pb2, lock_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.rpc.services import lock_leaving
from coord.runtime.gc import ScheduledGc
from tests.support.rpc import LocalNode, local_node
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
WAITERS = 10_000
# Some turns of the loop lie between two writes, which are to come every 200 ms at least on a
# machine with nothing else to do. This one may be slow and busy, hence processor time.
LONGEST_TURN_S = 0.5
LONGEST_GAP_S = 10.0


class Writer:
    """Writes all the time, and notes the longest time between two successes, and the processor time
    of the longest turn of the event loop."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node
        self._last = time.monotonic()
        self.longest_s = 0.0
        self.longest_turn_s = 0.0

    def start_anew(self) -> None:
        self.longest_s, self._last = 0.0, time.monotonic()
        self.longest_turn_s = 0.0

    def check(self) -> None:
        """Others were served all the time."""
        assert self.longest_turn_s < LONGEST_TURN_S
        assert self.longest_s < LONGEST_GAP_S

    async def measure_turns(self) -> None:
        began = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_turn_s, began = max(self.longest_turn_s, now - began), now

    async def run(self) -> None:
        while True:
            await self._node.stubs.kv.Put(etcd.PutRequest(key=b"k", value=b"v"))
            now = time.monotonic()
            self.longest_s, self._last = max(self.longest_s, now - self._last), now
            await asyncio.sleep(0.005)


@asynccontextmanager
async def writing(node: LocalNode) -> AsyncIterator[Writer]:
    writer = Writer(node)
    scheduled = ScheduledGc()
    scheduled.start()  # as in a node: a full collection in between would be a long turn
    tasks = [asyncio.create_task(work) for work in (writer.run(), writer.measure_turns())]
    try:
        yield writer
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        scheduled.stop()


@asynccontextmanager
async def waiters(node: LocalNode, **plan: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with the waiters, once all of them wait."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.waiters_process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        described = asdict(Plan(node.address, "l", WAITERS, **plan))
        process.stdin.write(json.dumps(described).encode() + b"\n")
        assert "queued" in json.loads(await process.stdout.readline())
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.integration
async def test_ten_thousand_waiters_whose_session_ends_at_once() -> None:
    async with (
        local_node() as node,
        writing(node) as writer,
        waiters(node, wait_s=90, close_session_after_s=0.2) as process,
    ):
        writer.start_anew()
        assert process.stdout is not None
        assert "ended" in json.loads(await process.stdout.readline())
        writer.check()
        assert len(node.server.watches) == 0


@pytest.mark.integration
async def test_ten_thousand_waiters_whose_client_is_killed() -> None:
    """All leave the queue, by proposals of which few are under way at a time."""
    async with local_node() as node, writing(node) as writer:
        async with waiters(node, wait_s=90) as process:
            before = node.log_index()
            writer.start_anew()
            process.kill()
            state = node.server.state_machine.state
            await eventually(lambda: len(state.waiters) == 0, timeout_s=45)
        writer.check()
        assert node.log_index() - before < 3_000
        assert len(node.server.watches) == 0


def header(session_id: int) -> common_pb2.RequestHeader:
    return common_pb2.RequestHeader(session_id=session_id)


async def test_only_who_gets_the_lock_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_node() as node:
        one, two = await node.stubs.open_session(), await node.stubs.open_session()
        acquire = lock_pb2.AcquireLockRequest
        held = await node.stubs.locks.Acquire(acquire(header=header(one), name="l", holder="h"))
        waiting = [
            asyncio.ensure_future(
                node.stubs.locks.Acquire(
                    acquire(header=header(two), name="l", holder=f"w{n}", wait_ms=20_000)
                )
            )
            for n in range(50)
        ]
        await eventually(lambda: len(node.server.state_machine.state.waiters) == 50)
        woken: list[object] = []
        monkeypatch.setattr(
            node.server.watches, "wake", lambda watch: (woken.append(watch), watch.wake())
        )
        release = lock_pb2.ReleaseLockRequest(
            header=header(one), name="l", fencing_token=held.fencing_token
        )
        await node.stubs.locks.Release(release)
        await eventually(lambda: any(one.done() for one in waiting))
        assert len(woken) == 1
        for call in waiting:
            call.cancel()
        await eventually(lambda: len(node.server.state_machine.state.waiters) == 0)


async def test_a_refusal_names_the_holder_and_no_waiter() -> None:
    async with local_node() as node, Client(node.address) as client:
        await client.locks.acquire("l", holder="me")
        other = await node.stubs.open_session()
        acquire = lock_pb2.AcquireLockRequest
        waiting = asyncio.ensure_future(client.locks.acquire("l", holder="w", wait_ms=20_000))
        await eventually(lambda: len(node.server.state_machine.state.waiters) == 1)
        reply = await node.stubs.locks.Acquire(acquire(header=header(other), name="l", wait_ms=1))
        assert (reply.acquired, reply.lock.holder) == (False, "me")
        assert (list(reply.lock.waiters), reply.lock.waiter_count) == ([], 1)
        waiting.cancel()


async def test_who_waits_is_shown_in_pages() -> None:
    async with local_node() as node, Client(node.address) as client:
        await client.locks.acquire("l", holder="me")
        waiting = [
            asyncio.ensure_future(client.locks.acquire("l", holder=f"w{n}", wait_ms=30_000))
            for n in range(150)
        ]
        await eventually(lambda: len(node.server.state_machine.state.waiters) == 150)
        info = await client.locks.get("l")
        assert info is not None
        assert (info.waiter_count, len(info.waiters)) == (150, 100)
        (listed,) = await client.locks.list("l")
        assert (listed.waiter_count, len(listed.waiters)) == (150, 10)
        everybody = await client.locks.waiters("l")
        assert [one.holder for one in everybody] == [f"w{n}" for n in range(150)]
        some = await client.locks.waiters("l", limit=120, after=everybody[9].ticket)
        assert some == everybody[10:130]
        for call in waiting:
            call.cancel()


async def test_a_wait_ends_with_the_replicated_state_and_without_a_proposal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proposed: list[object] = []
    monkeypatch.setattr(lock_leaving.LockLeaving, "_propose", lambda *args: proposed.append(args))
    async with local_node() as node:
        one, two = await node.stubs.open_session(), await node.stubs.open_session()
        acquire = lock_pb2.AcquireLockRequest
        await node.stubs.locks.Acquire(acquire(header=header(one), name="l", holder="h"))
        calls = [
            node.stubs.locks.Acquire(
                acquire(header=header(two), name="l", holder=f"w{n}", wait_ms=300)
            )
            for n in range(200)
        ]
        began = time.monotonic()
        replies = await asyncio.gather(*calls)
        assert not any(reply.acquired for reply in replies)
        assert time.monotonic() - began < 2
        assert len(node.server.state_machine.state.waiters) == 0
        assert proposed == []


async def test_few_leave_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_leaving, "MAX_UNDER_WAY", 10)
    async with local_node() as node:
        one, two = await node.stubs.open_session(), await node.stubs.open_session()
        acquire = lock_pb2.AcquireLockRequest
        await node.stubs.locks.Acquire(acquire(header=header(one), name="l", holder="h"))
        calls = [
            asyncio.ensure_future(
                node.stubs.locks.Acquire(
                    acquire(header=header(two), name="l", holder=f"w{n}", wait_ms=30_000)
                )
            )
            for n in range(100)
        ]
        await eventually(lambda: len(node.server.state_machine.state.waiters) == 100)
        before = node.log_index()
        for call in calls:
            call.cancel()
        await eventually(lambda: len(node.server.state_machine.state.waiters) == 0)
        assert node.log_index() - before >= 10
