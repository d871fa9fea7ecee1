"""How a running node comes to its feature level, and what it refuses before."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
import pytest

from coord.codec.kinds import KIND_LEVEL, CommandKind
from coord.core.base.levels import HIGHEST_LEVEL
from coord.pb import cluster_pb2 as pb
from coord.replication.port import Role
from tests.support.rpc import LocalNode, local_node, refused
from tests.support.waiting import eventually


async def level_of(node: LocalNode) -> int:
    return int((await node.stubs.cluster.GetLevel(pb.GetLevelRequest())).level)


def members_support(
    monkeypatch: pytest.MonkeyPatch, node: LocalNode, levels: Mapping[str, int | None]
) -> None:
    kind = type(node.replicator)
    monkeypatch.setattr(kind, "member_levels", property(lambda _: dict(levels)))


async def test_a_new_cluster_begins_at_the_highest_level() -> None:
    async with local_node() as node:
        await eventually(lambda: node.server.state_machine.state.level == HIGHEST_LEVEL)
        assert await level_of(node) == HIGHEST_LEVEL


async def test_a_new_cluster_waits_for_members_that_have_not_said_what_they_support(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with local_node(level=0) as node:
        await node.stubs.open_session()
        assert await level_of(node) == 0
        members_support(monkeypatch, node, {"n1": HIGHEST_LEVEL})
        await eventually(lambda: node.server.state_machine.state.level == HIGHEST_LEVEL)


async def test_a_cluster_with_data_stays_at_its_level_until_it_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with local_node(level=0) as node:
        await node.stubs.open_session()
        node.replicator.set_role(Role.FOLLOWER)
        members_support(monkeypatch, node, {"n1": HIGHEST_LEVEL})
        node.replicator.set_role(Role.LEADER)
        await node.stubs.open_session()
        assert await level_of(node) == 0
        answer = await node.stubs.cluster.RaiseLevel(pb.RaiseLevelRequest())
        assert (answer.level, answer.highest) == (HIGHEST_LEVEL, HIGHEST_LEVEL)
        assert [(one.id, one.highest, one.known) for one in answer.members] == [
            ("n1", HIGHEST_LEVEL, True)
        ]


@pytest.mark.parametrize(("found", "said"), [(None, "n1 is not connected"), (0, "n1 supports 0")])
async def test_raising_is_refused_while_a_member_is_behind(
    monkeypatch: pytest.MonkeyPatch, found: int | None, said: str
) -> None:
    async with local_node(level=0) as node:
        members_support(monkeypatch, node, {"n1": found})
        before = node.log_index()
        code, reason, metadata, message = await refused(
            node.stubs.cluster.RaiseLevel(pb.RaiseLevelRequest(level=1))
        )
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MEMBERS_BEHIND")
        assert said in message
        assert metadata["level"] == "1"
        assert node.log_index() == before


async def test_a_level_that_no_build_has_is_refused() -> None:
    async with local_node() as node:
        _, reason, _, message = await refused(
            node.stubs.cluster.RaiseLevel(pb.RaiseLevelRequest(level=HIGHEST_LEVEL + 1))
        )
        assert reason == "INVALID_ARGUMENT"
        assert f"up to {HIGHEST_LEVEL}" in message


async def test_raising_again_changes_nothing() -> None:
    async with local_node() as node:
        await node.stubs.cluster.RaiseLevel(pb.RaiseLevelRequest())
        before = node.log_index()
        again = await node.stubs.cluster.RaiseLevel(pb.RaiseLevelRequest(level=1))
        assert again.level == HIGHEST_LEVEL
        assert node.log_index() == before


async def test_a_command_of_a_later_level_is_refused_before_it_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "coord.rpc.services.context.KIND_LEVEL", {**KIND_LEVEL, CommandKind.OPEN_SESSION: 1}
    )
    async with local_node(level=0) as node:
        code, reason, metadata, message = await refused(node.stubs.open_session())
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LEVEL_TOO_LOW")
        assert metadata["needed"] == "1"
        assert "coord cluster level raise" in message
