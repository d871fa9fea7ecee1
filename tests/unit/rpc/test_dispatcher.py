"""Who a call is made by, and what looks at it before it is served."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from coord.codec.envelope import decode_envelope
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.principal import ANONYMOUS, INTERNAL
from coord.pb import cluster_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.replication.port import Member
from coord.rpc import dispatcher
from coord.rpc.call import FORWARDED_KEY, Call, CallContext, Caller
from coord.rpc.dispatcher import authenticate
from coord.rpc.streams.answer_room import AnswerRoom
from coord.runtime import errors
from tests.support.rpc import FollowerReplicator, LocalNode, local_node, refused
from tests.support.waiting import eventually

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"


def a_call(**metadata: str) -> Call:
    loop = asyncio.get_running_loop()
    return Call(b"", CallContext(loop, metadata, 0, "somewhere"), loop.time(), AnswerRoom())


async def founded(node: LocalNode) -> None:
    """Its first entry, which raises the level, is written."""
    await eventually(lambda: node.server.levels.level == HIGHEST_LEVEL)


async def test_a_client_is_anonymous() -> None:
    assert authenticate(a_call()) == Caller(ANONYMOUS, None)


@pytest.mark.parametrize("says", ["n2", "1"])
async def test_a_forwarded_call_names_its_forwarder(says: str) -> None:
    """Builds that named no node said 1."""
    call = a_call(**{FORWARDED_KEY: says})
    call.caller = authenticate(call)
    assert call.caller == Caller(ANONYMOUS, says)
    assert call.forwarded


async def test_a_call_made_on_behalf_of_a_caller_is_that_callers() -> None:
    call = a_call()
    call.caller = Caller(INTERNAL, "n2")
    assert call.with_request(b"x").caller == call.caller


async def test_a_call_has_its_caller_when_interceptors_see_it() -> None:
    seen: list[tuple[str, Caller]] = []

    def note(path: str, call: Call) -> None:
        seen.append((path, call.caller))

    async with (
        local_node(wiring={"interceptors": (note,)}) as leader,
        local_node(node_id="n2", follower=True) as follower,
    ):
        assert isinstance(follower.replicator, FollowerReplicator)
        follower.replicator.follow(Member("n1", "", leader.address))
        await leader.stubs.kv.Put(etcd.PutRequest(key=b"k"))
        await follower.stubs.kv.Put(etcd.PutRequest(key=b"k"))
        await follower.stubs.cluster.Status(cluster_pb2.StatusRequest())
    assert seen == [
        (PUT, Caller(ANONYMOUS, None)),
        (PUT, Caller(ANONYMOUS, "n2")),
        ("/coord.v1.Cluster/NodeStatus", Caller(ANONYMOUS, "n2")),
    ]


async def test_interceptors_refuse_in_their_order() -> None:
    seen: list[str] = []

    async def no_writes(path: str, _: Call) -> None:
        await asyncio.sleep(0)
        seen.append("first")
        if path == PUT:
            raise errors.invalid("read only", "path")

    def second(_: str, __: Call) -> None:
        seen.append("second")

    async with local_node(wiring={"interceptors": (no_writes, second)}) as node:
        await founded(node)
        logged = node.log_index()
        code, reason, _, message = await refused(node.stubs.kv.Put(etcd.PutRequest(key=b"k")))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert (message, node.log_index(), seen) == ("read only", logged, ["first"])
        seen.clear()
        await node.stubs.kv.Range(etcd.RangeRequest(key=b"k"))
        assert seen == ["first", "second"]


async def test_an_interceptor_that_fails_refuses_the_call() -> None:
    def broken(_: str, __: Call) -> None:
        raise KeyError("nobody")

    async with local_node(wiring={"interceptors": (broken,)}) as node:
        _, reason, _, _ = await refused(node.stubs.kv.Put(etcd.PutRequest(key=b"k")))
        assert reason == "INTERNAL"
        assert not len(node.server.state_machine.state.kv)


async def test_the_principal_of_a_call_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    async with local_node() as node:
        await founded(node)
        propose = node.replicator.propose

        def noting(data: bytes) -> Any:
            texts.extend(item.principal for item in decode_envelope(data).items)
            return propose(data)

        monkeypatch.setattr(node.replicator, "propose", noting)
        await node.stubs.kv.Put(etcd.PutRequest(key=b"k"))
        ada = Caller(ANONYMOUS._replace(kind="user", name="ada"), None)
        monkeypatch.setattr(dispatcher, "authenticate", lambda _: ada)
        await node.stubs.kv.Put(etcd.PutRequest(key=b"k"))
    assert texts == ["anonymous", "user:ada"]
