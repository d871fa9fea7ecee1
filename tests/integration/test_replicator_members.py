"""Members of real replicators change: who copies, who counts, what a snapshot carries, what a
configuration must not do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coord.replication.errors import RemovedFromClusterError
from coord.replication.port import (
    AddLearner,
    Member,
    MembershipChange,
    MembershipRefusedError,
    OutcomeUnknownError,
    Promote,
    Remove,
    ReplicationError,
    Role,
)
from coord.replication.settings import ReplicaSettings
from tests.support.replication import RealCluster
from tests.support.waiting import eventually

SMALL = ReplicaSettings(snapshot_entries=20, keep_entries=3)


async def change(cluster: RealCluster, wanted: MembershipChange) -> tuple[Member, ...]:
    """As soon as it is possible."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 15
    while True:
        try:
            return await (await cluster.leader()).change_members(wanted)
        except MembershipRefusedError as error:
            if not error.reason.retryable or loop.time() > deadline:
                raise
        await asyncio.sleep(0.01)


async def let_lead(cluster: RealCluster, node_id: str) -> None:
    """Hand leadership to this node, as soon as it can take it."""
    deadline = asyncio.get_running_loop().time() + 15
    while cluster.leader_id() != node_id:
        try:
            await (await cluster.leader()).transfer_leadership(node_id)
        except ReplicationError:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)


async def test_a_new_node_gets_state_and_members_by_a_snapshot(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, settings=SMALL) as cluster:
        for number in range(60):
            await cluster.propose(b"%d" % number)
        leader = await cluster.leader()
        await eventually(lambda: leader.status().first_log_index > 1, 10, "compacted")
        members = await change(cluster, AddLearner(cluster.new_member("n4")))
        assert [member.node_id for member in members if member.learner] == ["n4"]
        new = await cluster.start("n4")
        await eventually(lambda: new.status().applied_index >= 60, 10, "copied")
        await cluster.converged()
        assert new.status().role is Role.LEARNER
        assert new.status().members == members

        await change(cluster, Promote("n4"))
        await eventually(lambda: new.status().role is Role.FOLLOWER, 10, "votes")
        for number in range(60):  # so that the members are in a snapshot, not in the log any more
            await cluster.propose(b"%d" % number)
        await eventually(lambda: new.status().first_log_index > 60, 10, "compacted")
        await cluster.converged()
        before = new.status().members
        await cluster.stop("n4")
        again = await cluster.start("n4")
        assert again.status().members == before
        assert len(before) == 4


async def test_a_node_that_was_away_while_all_others_changed_finds_them(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        await let_lead(cluster, "n1")
        await cluster.stop("n3")
        for node_id in ("n4", "n5"):
            await change(cluster, AddLearner(cluster.new_member(node_id)))
            await cluster.start(node_id)
            await change(cluster, Promote(node_id))
        await let_lead(cluster, "n4")
        await change(cluster, Remove("n2"))
        await eventually(lambda: "n2" in cluster.failures, 10, "n2 stops")
        assert isinstance(cluster.failures["n2"], RemovedFromClusterError)
        away = await cluster.start("n3")  # whose configuration has n1, n2 and itself
        await eventually(lambda: away.status().leader_id == "n4", 10, "follows")
        await cluster.propose(b"b")
        await eventually(lambda: len(away.status().members) == 4, 10, "knows")


async def test_a_change_that_never_commits_ends_unknown_and_is_undone(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        leader = await cluster.leader()
        name = cluster.leader_id()
        others = [node_id for node_id in cluster.ids if node_id != name]
        for node_id in others:
            await cluster.stop(node_id)
        with pytest.raises(OutcomeUnknownError):
            await leader.change_members(AddLearner(cluster.new_member("n4")))
        assert len(leader.status().members) == 4
        assert name is not None
        await cluster.stop(name)  # else it would lead again: nobody has more than it has
        for node_id in others:
            await cluster.start(node_id)
        await cluster.propose(b"b")
        again = await cluster.start(name)
        await eventually(lambda: len(again.status().members) == 3, 10, "undone")


async def test_a_configuration_does_not_change_members(tmp_path: Path) -> None:
    """A node that knows no change counts the founders, whatever list it is given."""
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        await cluster.stop("n3")
        first, _, third = cluster.founders
        cluster.members["n3"] = (first, third, cluster.new_member("n4"))
        again = await cluster.start("n3")
        members = again.status().members
        assert [member.node_id for member in members] == ["n1", "n2", "n3"]
        assert [member.peer_address != "" for member in members] == [True, False, True]
        await let_lead(cluster, "n1")
        await eventually(lambda: again.status().leader_id == "n1", 10, "follows")


async def test_a_node_that_was_removed_while_it_was_down_stops_when_it_comes_back(
    tmp_path: Path,
) -> None:
    """Nobody whom it knows leads any more: it hears of who does, and from that one that it is
    removed."""
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        await let_lead(cluster, "n1")
        await cluster.stop("n3")
        await change(cluster, AddLearner(cluster.new_member("n4")))
        await cluster.start("n4")
        await change(cluster, Promote("n4"))
        await change(cluster, Remove("n3"))
        await let_lead(cluster, "n4")
        await cluster.start("n3")
        await eventually(lambda: "n3" in cluster.failures, 10, "n3 stops")
        assert isinstance(cluster.failures["n3"], RemovedFromClusterError)
        await cluster.propose(b"b")
