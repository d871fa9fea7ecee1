"""A node that goes mute under calls: noticed in a second or two, and nothing is done twice."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from coord.client import Client
from coord.client.transport.methods import CLAIM, PUT
from tests.support.client import FakeNode, fake_cluster, hang, path_of
from tests.support.waiting import eventually


async def slow(node: FakeNode, request: Any, context: Any) -> Any:
    """Carry it out and answer late."""
    await asyncio.sleep(1.8)
    return node.apply(path_of(request), request, context)


def client_of(nodes: list[FakeNode]) -> Client:
    return Client(",".join(node.address for node in nodes), timeout_ms=10_000)


async def test_calls_leave_a_mute_leader_long_before_their_time_out() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        await client.kv.put("k", "before")
        old, new = nodes
        old.next_calls(PUT, hang)
        old.mute = True
        started = time.monotonic()
        write = asyncio.create_task(client.kv.put("k", "after"))
        await eventually(lambda: old.count(PUT) == 2)
        old.leads, new.leads = False, True
        await write
        assert time.monotonic() - started < 3.0
        assert old.store.count(PUT) == 2, "done twice"
        assert new.count(PUT) == 1


async def test_a_waiting_claim_leaves_with_the_others() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        await client.open_session()
        old, new = nodes
        old.next_calls(CLAIM, hang)
        claim = asyncio.create_task(client.tasks.claim(["q"], wait_ms=8_000))
        await eventually(lambda: old.count(CLAIM) == 1)
        old.next_calls(PUT, hang)
        old.mute = True
        old.leads, new.leads = False, True
        await client.kv.put("k", "v")
        await eventually(lambda: new.count(CLAIM) >= 1)
        claim.cancel()
        await asyncio.gather(claim, return_exceptions=True)


async def test_a_slow_node_that_answers_is_not_left() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        await client.kv.put("k", "before")
        nodes[0].next_calls(PUT, slow)
        await client.kv.put("k", "after")
        assert nodes[0].count(PUT) == 2
        assert nodes[1].count(PUT) == 0
