"""Real replicators whose states are made to differ."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import structlog

from coord.replication.errors import DivergenceError
from coord.replication.settings import ReplicaSettings
from tests.support.replication import RealCluster
from tests.support.waiting import eventually

SETTINGS = ReplicaSettings(state_check_s=0.05)


def checked(cluster: RealCluster) -> list[int]:
    return [replicator.status().checked_index for replicator in cluster.replicators.values()]


async def test_a_diverged_node_stops_and_rejoins_with_an_empty_directory(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, settings=SETTINGS) as cluster:
        await cluster.propose(b"a")
        await eventually(lambda: min(checked(cluster)) > 0, what="states compared")
        hurt = next(node_id for node_id in cluster.ids if node_id != cluster.leader_id())
        cluster.machines[hurt].digest = b"another"
        await cluster.propose(b"b")
        await eventually(lambda: hurt in cluster.failures)
        assert isinstance(cluster.failures[hurt], DivergenceError)
        assert list(cluster.failures) == [hurt]
        await cluster.stop(hurt)
        await cluster.propose(b"c")
        shutil.rmtree(tmp_path / hurt)
        back = await cluster.start(hurt)
        await cluster.propose(b"d")
        await cluster.converged()
        reached = back.status().applied_index
        await eventually(lambda: min(checked(cluster)) >= reached, what="compared again")
        assert list(cluster.failures) == [hurt]


async def test_two_that_differ_alone_go_on_and_say_so(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, settings=SETTINGS) as cluster:
        await cluster.propose(b"a")
        away, hurt = [node_id for node_id in cluster.ids if node_id != cluster.leader_id()]
        await cluster.stop(away)
        with structlog.testing.capture_logs() as entries:
            cluster.machines[hurt].digest = b"another"
            await cluster.propose(b"b")

            def complained() -> int:
                events = [entry for entry in entries if entry["event"] == "replica_states_differ"]
                return sum("none is shared by a majority" in entry["why"] for entry in events)

            await eventually(lambda: complained() >= 2)
            await asyncio.sleep(SETTINGS.state_check_s * 4)
            assert complained() == 2  # each says it once
        await cluster.propose(b"c")
        assert not cluster.failures
