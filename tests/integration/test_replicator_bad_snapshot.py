"""A snapshot that the state machine can not load stops its node, with words that say so: it is
neither skipped nor acknowledged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from chaos.sim.machine import LogMachine
from coord.replication.errors import SnapshotUnusableError
from coord.replication.settings import ReplicaSettings
from tests.support import replication
from tests.support.replication import RealCluster
from tests.support.waiting import eventually

SETTINGS = ReplicaSettings(snapshot_entries=50, keep_entries=5, snapshot_chunk_bytes=1_000)


class BrokenMachine(LogMachine):
    def restore(self, chunks: Iterable[bytes]) -> None:
        raise ValueError("a bad row")


async def test_at_start_the_node_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with RealCluster(tmp_path, 1, settings=SETTINGS) as cluster:
        for i in range(80):
            await cluster.propose(b"%d" % i)
        await eventually(lambda: cluster.replicators["n1"].status().snapshot_index >= 50)
        index = cluster.replicators["n1"].status().snapshot_index
        await cluster.stop("n1")
        monkeypatch.setattr(replication, "LogMachine", BrokenMachine)
        with pytest.raises(SnapshotUnusableError, match=f"entry {index} can not .* a bad row"):
            await cluster.start("n1")
        monkeypatch.setattr(replication, "LogMachine", LogMachine)
        await cluster.start("n1")  # nothing was harmed, and the directory is not locked
        await cluster.propose(b"again")


async def test_at_install_the_node_stops_and_has_acknowledged_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RealCluster(tmp_path, settings=SETTINGS) as cluster:
        await cluster.propose(b"first")
        away = next(i for i in cluster.ids if i != cluster.leader_id())
        await cluster.stop(away)
        for i in range(200):
            await cluster.propose(b"%d" % i)
        leader = await cluster.leader()
        await eventually(lambda: leader.status().first_log_index > 50)
        monkeypatch.setattr(replication, "LogMachine", BrokenMachine)
        back = await cluster.start(away)
        await eventually(lambda: away in cluster.failures)
        assert isinstance(cluster.failures[away], SnapshotUnusableError)
        assert "a bad row" in str(cluster.failures[away])
        assert back.status().applied_index < 50
        assert leader.status().peers[away].match_index < 50
        await cluster.propose(b"the others go on")
