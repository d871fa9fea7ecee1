"""Feature levels between nodes: advertised in the handshake, and required once in force."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgpack
import pytest
import structlog

from coord.replication.errors import LevelTooHighError
from coord.replication.levels import MAX_LEVEL, Levels
from coord.replication.local import LocalReplicator
from coord.replication.peers.frames import pack
from coord.replication.peers.handshake import (
    Hello,
    Refusal,
    RefusedError,
    Welcome,
    check_answer,
    decode_hello,
    encode_hello,
    encode_welcome,
)
from coord.replication.port import (
    AddLearner,
    ReplicationError,
)
from coord.replication.settings import ReplicaSettings
from tests.support.replica_world import ReplicaWorld
from tests.support.replication import RealCluster, members_of
from tests.support.transports import Node, RawPeer, connect, linked, old_hello
from tests.support.waiting import eventually


def logged(entries: list[Any], event: str, node_id: str) -> list[str]:
    return [e["reason"] for e in entries if (e["event"], e["node_id"]) == (event, node_id)]


def test_levels_of_builds() -> None:
    levels = Levels(2)
    assert levels.of("n1", ["n1", "n2"]) == {"n1": 2, "n2": None}
    levels.heard("n2", 1)
    levels.heard("n3", 0)
    assert not levels.behind()
    assert levels.require(1)
    assert not levels.require(1)
    assert not levels.require(0), "a level never goes down"
    assert levels.behind() == {"n3"}
    assert levels.is_too_low(0)
    assert not levels.is_too_low(1)
    levels.heard("n3", 3)
    assert not levels.behind()
    levels.keep({"n3"})
    assert levels.of("n1", ["n1", "n2", "n3"]) == {"n1": 2, "n2": None, "n3": 3}


def test_a_handshake_carries_the_level_and_may_be_without() -> None:
    hello = Hello("c", "a", "b", 7, level=3)
    assert decode_hello(memoryview(encode_hello(hello))) == hello
    assert decode_hello(memoryview(old_hello("a", "b")[8:])).level == 0
    assert check_answer(memoryview(encode_welcome(Welcome(4)))).level == 4
    old_welcome = pack({"magic": "coord-peer", "version": 1, "refused": None})
    assert check_answer(memoryview(old_welcome)).level == 0


@pytest.mark.parametrize("level", [-1, MAX_LEVEL + 1, 2**63, True, "1", None, 1.5])
def test_what_is_no_level_is_refused(level: object) -> None:
    values = msgpack.unpackb(encode_hello(Hello("c", "a", "b", 7))) | {"level": level}
    with pytest.raises(RefusedError, match="level"):
        decode_hello(memoryview(pack(values)))
    with pytest.raises(RefusedError, match="level"):
        check_answer(memoryview(pack({"magic": "coord-peer", "refused": None, "level": level})))


async def test_both_sides_learn_each_others_level() -> None:
    async with Node("a", level=1) as a, Node("b", level=2) as b, Node("c") as c:
        await linked(a, b, c)
        ids = ["a", "b", "c"]
        assert a.levels.of("a", ids) == {"a": 1, "b": 2, "c": 0}
        assert b.levels.of("b", ids) == {"a": 1, "b": 2, "c": 0}
        assert c.levels.of("c", ids) == {"a": 1, "b": 2, "c": 0}
        a.transport.set_peers({"b": b.address})
        assert a.levels.of("a", ids) == {"a": 1, "b": 2, "c": None}, "no longer a peer"


async def test_a_build_from_before_there_were_levels_is_taken_until_one_is_in_force() -> None:
    async with Node("b", level=1) as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        raw = await RawPeer.dial(b.port)
        raw.writer.write(old_hello("a", "b"))
        assert msgpack.unpackb(await raw.answer())["refused"] is None
        assert b.levels.of("b", ["a"]) == {"a": 0}
        b.transport.require_level(1)
        assert await raw.end() == b""
        await raw.close()
        again = await RawPeer.dial(b.port)
        again.writer.write(old_hello("a", "b"))
        answer = msgpack.unpackb(await again.answer())
        assert answer["refused"] == Refusal.LEVEL_TOO_LOW
        assert "upgrade 'a' to a build that supports level 1" in answer["detail"]
        await again.close()


async def test_a_level_in_force_cuts_off_who_is_behind_and_tells_both_once() -> None:
    with structlog.testing.capture_logs() as entries:
        async with Node("a", level=1) as a, Node("b", level=1) as b, Node("c", level=0) as c:
            await linked(a, b, c)
            a.transport.require_level(1)
            b.transport.require_level(1)
            a.transport.require_level(1)
            await eventually(lambda: ("disconnected", "a") in c.events)
            assert not a.transport.connected("c")
            assert a.transport.connected("b")
            assert b.transport.connected("a")
            assert a.levels.behind() == {"c"}
            tried = a.transport._accept_count
            await eventually(lambda: a.transport._accept_count >= tried + 3, what="it tries again")
            assert not a.transport.connected("c")
            assert not c.transport.connected("a")
    advice = "supports feature level 0, and the cluster is at level 1: upgrade 'c'"
    refusing = logged(entries, "peer_refused", "a")
    assert 1 <= len(refusing) <= 2, "as it dials, and as it is dialled"
    assert all(advice in reason for reason in refusing)
    told = [r for r in logged(entries, "peer_refused_us", "c") if advice in r]
    assert len(told) == 2, "by each of the others"


async def test_an_upgraded_peer_is_taken_at_once() -> None:
    async with Node("a", level=1) as a:
        async with Node("c", level=0) as c:
            await linked(a, c)
            a.transport.require_level(1)
            await eventually(lambda: not a.transport.connected("c"))
            port = c.port
        async with Node("c", boot_id=2, level=1, port=port) as c:
            connect(a, c)
            await eventually(lambda: a.transport.connected("c") and c.transport.connected("a"))
            assert not a.levels.behind()


def test_leadership_is_not_transferred_to_a_build_that_is_behind() -> None:
    world = ReplicaWorld(settings=ReplicaSettings(highest_level=1))
    world.lead()
    for peer, level in (("n2", 0), ("n3", 1)):
        world.replica.context.levels.heard(peer, level)
    world.replica.context.levels.require(1)
    with pytest.raises(ReplicationError, match="n2 can not take leadership"):
        world.replica.transfer("n2", lambda _: None)
    assert world.replica.transfer(None, lambda _: None) == "n3"


async def test_a_cluster_knows_the_levels_of_all_its_members(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, settings=ReplicaSettings(highest_level=1)) as cluster:
        leader = await cluster.leader()
        await eventually(lambda: leader.member_levels == {"n1": 1, "n2": 1, "n3": 1})
        for replicator in cluster.replicators.values():
            replicator.require_level(1)
        await cluster.propose(b"x")
        member = cluster.new_member("n4")
        await cluster.start("n4")
        await (await cluster.leader()).change_members(AddLearner(member))
        leader = await cluster.leader()
        await eventually(lambda: leader.member_levels.get("n4") == 1, what="a learner's level")
        assert cluster.failures == {}


async def test_a_node_ends_at_a_level_that_its_build_does_not_support(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, 1, ReplicaSettings(highest_level=1)) as cluster:
        await cluster.leader()
        cluster.replicators["n1"].require_level(2)
        await eventually(lambda: "n1" in cluster.failures)
        error = cluster.failures["n1"]
        assert isinstance(error, LevelTooHighError)
        assert "install a build that supports level 2" in str(error)


async def test_one_node_in_memory_has_a_level() -> None:
    alone = LocalReplicator("n1", None, members=members_of("n1"), highest_level=1)  # type: ignore[arg-type]
    assert alone.member_levels == {"n1": 1}
    alone.require_level(1)
    await asyncio.sleep(0)
