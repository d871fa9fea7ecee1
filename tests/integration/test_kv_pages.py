"""Large reads and deletions: refused as one request, done by the client in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from coord.client import Client, Get, InvalidArgumentError, Put
from coord.client.context import ClientContext
from coord.core.base.limits import LIMITS
from coord.pb import etcd_rpc_pb2 as etcd
from tests.support.rpc import LocalNode, local_node, refused

KEYS = 60
FEW = replace(LIMITS, max_txn_rows=60, max_range_keys=25, max_answer_bytes=4_000)


@pytest.fixture
async def node() -> AsyncIterator[LocalNode]:
    async with local_node() as running:
        running.server.state_machine.state.kv._limits = FEW
        yield running


@pytest.fixture
async def client(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr("coord.client.kv_pages.FIRST_PAGE_KEYS", 20)
    monkeypatch.setattr("coord.client.kv_pages.DELETED_AT_ONCE", 15)
    async with Client(node.address) as connected:
        for start in range(0, KEYS, 10):
            puts = [Put(f"k{number:02}", "v") for number in range(start, start + 10)]
            await connected.kv.txn(success=puts)
        yield connected


async def test_a_prefix_is_read_in_pages_of_one_revision(client: Client) -> None:
    found = await client.kv.get_prefix("k")
    assert [kv.key for kv in found] == [b"k%02d" % number for number in range(KEYS)]
    whole = await client.kv.range("k", "l")
    assert (len(whole.kvs), whole.more, whole.count) == (KEYS, False, KEYS)
    some = await client.kv.range("k", "l", limit=33)
    assert (len(some.kvs), some.more, some.count) == (33, True, KEYS)


async def test_pages_show_the_revision_of_the_first(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = client.kv._core.ask

    async def read_and_write(*args: Any, **more: Any) -> Any:
        page = await ask(*args, **more)
        await client.kv.put(b"k%02d" % (KEYS - 1), b"changed meanwhile")
        return page

    monkeypatch.setattr(
        ClientContext, "ask", lambda core, *args, **more: read_and_write(*args, **more)
    )
    found = await client.kv.get_prefix("k")
    assert {kv.value for kv in found} == {b"v"}


async def test_pages_get_smaller_where_values_are_large(client: Client) -> None:
    for number in range(0, KEYS, 3):
        await client.kv.put(b"k%02d" % number, b"x" * 900)
    assert len(await client.kv.get_prefix("k")) == KEYS


async def test_a_prefix_is_deleted_in_pages_and_a_range_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="max_txn_rows") as raised:
        await client.kv.delete_range("k", "l")
    assert raised.value.reason == "TOO_LARGE"
    assert raised.value.metadata["limit"] == "60"
    assert raised.value.metadata["advice"]
    assert await client.kv.delete_prefix("k") == KEYS
    assert await client.kv.get_prefix("k") == []


async def test_what_cannot_be_paged_is_refused(client: Client) -> None:
    for ask in (
        client.kv.range("k", "l", sort_by="value"),
        client.kv.range("k", "l", descending=True),
        client.kv.txn(success=[Get("k", "l"), Get("k", "l")]),
    ):
        with pytest.raises(InvalidArgumentError) as raised:
            await ask
        assert raised.value.reason == "TOO_LARGE"


async def test_nothing_is_logged_for_what_the_edge_refuses(node: LocalNode, client: Client) -> None:
    logged = node.log_index()
    everything = etcd.DeleteRangeRequest(key=b"k", range_end=b"l")
    code, reason, metadata, message = await refused(node.stubs.kv.DeleteRange(everything))
    assert (code.name, reason, metadata["definite"]) == ("INVALID_ARGUMENT", "TOO_LARGE", "true")
    assert message == "etcdserver: request is too large"
    assert metadata["message"].endswith(metadata["advice"])
    assert node.log_index() == logged
