"""Real replicators over loopback TCP and real files, in one process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from coord.replication.port import NotLeaderError, OutcomeUnknownError, ReplicationError, Role
from coord.replication.settings import ReplicaSettings
from tests.support.replication import RealCluster
from tests.support.waiting import eventually


async def test_three_nodes_elect_replicate_and_apply(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        results = await asyncio.gather(*(leader.propose(b"%d" % i) for i in range(200)))
        assert [r[1] for r in results] == [b"%d" % i for i in range(200)]  # type: ignore[index]
        await cluster.converged()
        for machine in cluster.machines.values():
            assert [data for _, data in machine.commands] == [b"%d" % i for i in range(200)]


async def test_one_node_alone_serves(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, 1) as cluster:
        leader = await cluster.leader()
        assert await leader.propose(b"x") == (3, b"x")
        assert await leader.read_barrier() >= 3


async def test_a_follower_refuses_and_names_the_leader(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"x")
        leader_id = cluster.leader_id()
        follower = next(r for i, r in cluster.replicators.items() if i != leader_id)
        await eventually(lambda: follower.status().leader_id == leader_id)
        with pytest.raises(NotLeaderError) as caught:
            follower.propose(b"y")
        assert caught.value.leader_id == leader_id
        with pytest.raises(NotLeaderError):
            await follower.read_barrier()


async def test_failover_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        for i in range(20):
            await cluster.propose(b"a%d" % i)
        old = cluster.leader_id()
        assert old is not None
        stopping = asyncio.create_task(cluster.stop(old))
        began = time.monotonic()
        await asyncio.sleep(0)
        await cluster.propose(b"after")
        gap = time.monotonic() - began
        await stopping
        assert gap < 1.5
        await cluster.start(old)
        await cluster.converged()
        present = {data for _, data in cluster.machines[old].commands}
        assert {b"a%d" % i for i in range(20)} | {b"after"} <= present


async def test_everything_acknowledged_is_there_after_a_restart_of_all(tmp_path: Path) -> None:
    cluster = RealCluster(tmp_path)
    async with cluster:
        for i in range(50):
            await cluster.propose(b"%d" % i)
    async with cluster:
        await cluster.propose(b"last")
        await cluster.converged()
        for machine in cluster.machines.values():
            present = {data for _, data in machine.commands}
            assert {b"%d" % i for i in range(50)} <= present


async def test_pending_proposals_end_unknown_when_the_node_stops(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        await leader.propose(b"x")
        for node_id in [i for i in cluster.ids if i != cluster.leader_id()]:
            await cluster.stop(node_id)
        future = leader.propose(b"y")
        node_id = cluster.leader_id() or next(iter(cluster.replicators))
        await cluster.stop(node_id)
        with pytest.raises(OutcomeUnknownError):
            await future


async def test_a_leader_without_majority_steps_down(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        await leader.propose(b"x")
        for node_id in [i for i in cluster.ids if i != cluster.leader_id()]:
            await cluster.stop(node_id)
        reading = asyncio.create_task(leader.read_barrier())
        future = leader.propose(b"y")
        await eventually(lambda: leader.status().role is not Role.LEADER, 3.0)
        with pytest.raises(OutcomeUnknownError):
            await future
        with pytest.raises(NotLeaderError):
            await reading


async def test_reads_share_rounds_and_write_nothing(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        index = (await leader.propose(b"x"))[0]  # type: ignore[index]
        before = leader.status().last_log_index
        indexes = await asyncio.gather(*(leader.read_barrier() for _ in range(500)))
        assert min(indexes) >= index
        assert leader.status().last_log_index == before


async def test_leadership_is_handed_over(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        leader = await cluster.leader()
        await leader.propose(b"x")
        old = leader.status().node_id
        target = next(i for i in cluster.ids if i != old)
        assert await leader.transfer_leadership(target) == target
        await eventually(lambda: cluster.leader_id() == target)
        await cluster.propose(b"y")
        with pytest.raises(ReplicationError):
            await cluster.replicators[target].transfer_leadership("nobody")


async def test_a_node_that_was_away_gets_a_snapshot(tmp_path: Path) -> None:
    settings = ReplicaSettings(snapshot_entries=100, keep_entries=5, snapshot_chunk_bytes=1_000)
    async with RealCluster(tmp_path, settings=settings) as cluster:
        await cluster.propose(b"first")
        away = next(i for i in cluster.ids if i != cluster.leader_id())
        await cluster.stop(away)
        for i in range(400):
            await cluster.propose(b"%d" % i)
        await eventually(lambda: cluster.leader_id() is not None)
        leader = await cluster.leader()
        await eventually(lambda: leader.status().first_log_index > 100)
        back = await cluster.start(away)
        await cluster.converged()
        assert back.status().snapshot_index > 100
        await cluster.stop(away)
        await cluster.start(away)
        await cluster.propose(b"again")
        await cluster.converged()


async def test_linearizable_reads_cost_no_log_entry(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        leader = await cluster.leader()
        before = leader.status()
        for _ in range(20):
            await asyncio.gather(*(leader.read_barrier() for _ in range(10)))
        after = leader.status()
        assert (after.term, after.last_log_index) == (before.term, before.last_log_index)
