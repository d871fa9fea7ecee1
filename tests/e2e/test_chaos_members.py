"""The nemesis of members, on real nodes: it takes one out, which stops; it comes back and votes."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.run.settle import equal_digests
from chaos.testbed.cluster import ClusterUnderTest
from coord.client import Client
from coord.localcluster.processes import ProcessState
from tests.support.chaos_clusters import make, running, writes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def test_members_go_and_come_back(tmp_path: Path) -> None:
    async with running(tmp_path / "c") as cluster:
        assert await writes(cluster)
        async with Client(cluster.endpoints, name="look", use_session=False) as client:
            for variant in ("leader", "dead"):
                nemesis = make("members", variant, cluster)
                words = await nemesis.begin()
                assert nemesis.victims is not None
                (victim,) = nemesis.victims
                assert words == f"{victim} was removed from the cluster"
                assert await cluster.until_down(victim, 10), "it stops itself"
                assert victim not in [member.id for member in await client.cluster.members()]
                assert await writes(cluster), "the others go on"
                await nemesis.end()
                assert cluster.state(victim) is ProcessState.RUNNING
                members = await client.cluster.members()
                assert [(member.id, member.learner) for member in members] == [
                    (node_id, False) for node_id in cluster.node_ids
                ]
        assert await writes(cluster)
        await links_can_still_be_cut(cluster)
        digests, complaint = await equal_digests(cluster)
        assert (len(digests), complaint) == (3, "")
        cluster.note_unexpected_ends(0)
        assert cluster.unexpected_ends == []


async def links_can_still_be_cut(cluster: ClusterUnderTest) -> None:
    """Those that came back have the addresses that everybody knows, doors included."""
    partition = make("partition", "isolate-leader", cluster)
    await partition.begin()
    assert partition.victims is not None
    (leader,) = partition.victims
    assert await writes(cluster)
    roles = await cluster.roles()
    assert [node for node, (role, _) in roles.items() if role == "leader"] != [leader]
    await partition.end()
