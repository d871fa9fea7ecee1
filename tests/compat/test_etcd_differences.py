"""The same requests to etcd and to this store: the same responses, codes and texts.

Skipped where etcd is not installed (Debian: etcd-server). What differs on purpose is listed here,
and in docs/etcd.md with the reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from coord.pb import etcd_rpc_pb2 as pb
from coord.pb import task_pb2
from tests.support.etcd import ETCD, Call, Draws, etcd_server
from tests.support.rpc import local_node

needs_etcd = pytest.mark.skipif(ETCD is None, reason="etcd is not installed")

CALLS = 600
RESPONSES: dict[str, Any] = {
    "Put": pb.PutResponse,
    "Range": pb.RangeResponse,
    "DeleteRange": pb.DeleteRangeResponse,
    "Txn": pb.TxnResponse,
    "Compact": pb.CompactionResponse,
}

Answer = tuple[str, str] | Any
"""(code, text) of an error, or the response without what says which server it comes from."""


async def ask(channel: grpc.aio.Channel, call: Call) -> Answer:
    method, raw = call
    try:
        data = await channel.unary_unary(f"/etcdserverpb.KV/{method}")(raw, timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details()
    response = RESPONSES[method].FromString(data)
    header = response.header
    header.cluster_id = header.member_id = header.raft_term = 0
    return response


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[str]:
    with etcd_server(tmp_path) as address:
        yield address


@asynccontextmanager
async def both(etcd: str) -> AsyncIterator[tuple[grpc.aio.Channel, grpc.aio.Channel]]:
    """(etcd, this store), at the same revision: etcd's first one is 1."""
    async with grpc.aio.insecure_channel(etcd) as theirs, local_node() as node:
        pause = task_pb2.PauseQueueRequest(queue="takes revision 1", paused=True)
        await node.stubs.tasks.PauseQueue(pause)
        yield theirs, node.stubs.channel


@needs_etcd
@pytest.mark.parametrize("seed", [1, 2])
async def test_requests_at_random(etcd: str, seed: int) -> None:
    draws = Draws(seed)
    refused = 0
    async with both(etcd) as (theirs, ours):
        for number in range(CALLS):
            call = draws.call()
            expected = await ask(theirs, call)
            assert await ask(ours, call) == expected, (seed, number, call)
            if isinstance(expected, tuple):
                refused += 1
            else:
                draws.revision = max(draws.revision, expected.header.revision)
    assert 0.02 * CALLS < refused < 0.5 * CALLS
    assert draws.revision > 0.2 * CALLS


def put(key: bytes = b"a", value: bytes = b"v", **fields: Any) -> Call:
    return "Put", pb.PutRequest(key=key, value=value, **fields).SerializeToString()


def read(**fields: Any) -> Call:
    return "Range", pb.RangeRequest(**{"key": b"a", **fields}).SerializeToString()


def get(**fields: Any) -> pb.RequestOp:
    return pb.RequestOp(request_range=pb.RangeRequest(**{"key": b"a", **fields}))


def txn(*ops: pb.RequestOp, **fields: Any) -> Call:
    return "Txn", pb.TxnRequest(success=ops, **fields).SerializeToString()


def nested(depth: int) -> pb.RequestOp:
    inner = [nested(depth - 1)] if depth else []
    return pb.RequestOp(request_txn=pb.TxnRequest(success=inner))


MISSING = pb.Compare(key=b"none", target=pb.Compare.VALUE)
LONG = 2_000_000
SAME: dict[str, Call] = {
    "nothing to put": ("Put", b""),
    "nothing to read": ("Range", b""),
    "nothing to delete": ("DeleteRange", b""),
    "nothing to do": ("Txn", b""),
    "compaction to nothing": ("Compact", b""),
    "unknown fields": (put()[0], put()[1] + b"\xa8\x06\x01"),
    "value too large": put(value=bytes(LONG)),
    "too many operations": txn(*[get()] * 513),
    "too many operations, one of them bad": txn(*[get(key=b"")] * 513),
    "too many comparisons": txn(compare=[MISSING] * 513),
    "as many operations as are allowed": txn(*[get()] * 512),
    "nested transactions": txn(nested(20)),
    "unset operand": txn(compare=[MISSING]),
    "another operand than the target's": txn(compare=[pb.Compare(key=b"a", mod_revision=5)]),
    "unknown lease": put(lease=5),
    "negative lease": put(lease=-5),
    "value with ignore_value": put(ignore_value=True),
    "lease with ignore_lease": put(lease=5, ignore_lease=True),
    "future revision": read(revision=1 << 62),
    "future compaction": ("Compact", pb.CompactionRequest(revision=1 << 62).SerializeToString()),
    "smallest limit": read(range_end=b"\0", limit=-(1 << 63)),
    "largest limit": read(range_end=b"\0", limit=(1 << 63) - 1, sort_target=4),
    "physical compaction": (
        "Compact",
        pb.CompactionRequest(revision=1, physical=True).SerializeToString(),
    ),
}


@needs_etcd
async def test_requests_at_the_edges(etcd: str) -> None:
    async with both(etcd) as (theirs, ours):
        for channel in (theirs, ours):
            await ask(channel, put())
        for name, call in SAME.items():
            assert await ask(ours, call) == await ask(theirs, call), name


LARGE = "etcdserver: request is too large"
DELIBERATE: dict[str, tuple[Call, str, str]] = {
    "garbage": (("Put", b"\xff\xff"), "INVALID_ARGUMENT", "not a PutRequest"),
    "message larger than a node takes": (
        put(value=bytes(8 * 1024 * 1024)),
        "RESOURCE_EXHAUSTED",
        "grpc: received message larger than max (8388616 vs. 8388608)",
    ),
    "value of more than 1 MiB": (put(value=bytes(1_048_577)), "INVALID_ARGUMENT", LARGE),
    "key of more than 4 KiB": (put(bytes(4_097)), "INVALID_ARGUMENT", LARGE),
    "range_end of more than 4 KiB": (read(range_end=b"z" * 4_098), "INVALID_ARGUMENT", LARGE),
    "nested deeper than 32": (txn(nested(32)), "INVALID_ARGUMENT", LARGE),
    "nested operations are added up": (
        txn(*[pb.RequestOp(request_txn=pb.TxnRequest(success=[get(), get()]))] * 200),
        "INVALID_ARGUMENT",
        "etcdserver: too many operations in txn request",
    ),
}
ETCD_ENDS: dict[str, tuple[Call, str, str]] = {
    "unknown order": (
        read(sort_order=9),
        "INVALID_ARGUMENT",
        "etcdserver: invalid sort option",
    ),
    "unknown sort target": (
        read(sort_target=9),
        "INVALID_ARGUMENT",
        "etcdserver: invalid sort option",
    ),
    "unknown comparison": (
        txn(compare=[pb.Compare(key=b"a", target=9)]),  # type: ignore[arg-type]
        "INVALID_ARGUMENT",
        "a comparison of the transaction is not known",
    ),
}


@needs_etcd
async def test_what_differs_on_purpose(etcd: str) -> None:
    async with both(etcd) as (theirs, ours):
        for name, (call, code, text) in DELIBERATE.items():
            answer = await ask(ours, call)
            assert isinstance(answer, tuple), name
            assert answer[0] == code, name
            assert answer[1].startswith(text), name
            assert await ask(theirs, call) != answer, f"{name} does not differ any more"


async def test_what_would_end_etcd_3_4_is_refused() -> None:
    async with local_node() as node:
        for name, (call, code, text) in ETCD_ENDS.items():
            answer = await ask(node.stubs.channel, call)
            assert isinstance(answer, tuple), name
            assert answer[0] == code, name
            assert answer[1].startswith(text), name
