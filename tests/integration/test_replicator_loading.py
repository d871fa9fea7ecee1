"""A large state is loaded beside the event loop: the node goes on answering meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from chaos.sim.machine import LogMachine
from coord.replication.port import LoadsAside
from coord.replication.settings import ReplicaSettings
from tests.support import replication
from tests.support.replication import RealCluster
from tests.support.waiting import eventually

SETTINGS = ReplicaSettings(
    snapshot_entries=100, keep_entries=5, snapshot_chunk_bytes=1_000, snapshot_resend_s=0.05
)


class SlowMachine(LogMachine):
    """Loads when it may."""

    may_load = threading.Event()
    breaks = False
    loads = 0

    def load(self, chunks: Iterable[bytes]) -> Callable[[], None]:
        type(self).loads += 1
        assert self.may_load.wait(20)
        if self.breaks:
            raise ValueError("a bad row")
        aside = LogMachine()
        aside.restore(chunks)

        def put_in_place() -> None:
            self.commands, self.digest = aside.commands, aside.digest

        return put_in_place


@pytest.fixture(autouse=True)
def _slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(replication, "LogMachine", SlowMachine)
    monkeypatch.setattr(SlowMachine, "loads", 0)
    SlowMachine.may_load.clear()
    yield
    SlowMachine.may_load.set()


async def away_too_long(cluster: RealCluster) -> str:
    """The id of a node that is down, and whose entries are gone from the leader's log."""
    await cluster.propose(b"first")
    away = next(i for i in cluster.ids if i != cluster.leader_id())
    await cluster.stop(away)
    for i in range(300):
        await cluster.propose(b"%d" % i)
    leader = await cluster.leader()
    await eventually(lambda: leader.status().first_log_index > 100)
    return away


async def test_a_follower_that_loads_a_state_still_follows(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, settings=SETTINGS) as cluster:
        away = await away_too_long(cluster)
        leader = await cluster.leader()
        term = leader.status().term
        back = await cluster.start(away)
        await eventually(lambda: SlowMachine.loads)
        for i in range(30):  # far longer than the leader waits before it sends a piece again
            await cluster.propose(b"meanwhile %d" % i)
            await asyncio.sleep(0.02)
        assert leader.status().peers[away].last_heard_ms < 1_000
        assert back.status().leader_id == cluster.leader_id()
        assert not cluster.machines[away].commands
        SlowMachine.may_load.set()
        await cluster.converged()
        assert SlowMachine.loads == 1
        assert leader.status().term == term


async def test_a_state_that_cannot_be_loaded_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RealCluster(tmp_path, settings=SETTINGS) as cluster:
        away = await away_too_long(cluster)
        monkeypatch.setattr(SlowMachine, "breaks", True)
        SlowMachine.may_load.set()
        await cluster.start(away)
        await eventually(lambda: away in cluster.failures)
        assert "a bad row" in str(cluster.failures[away])


async def test_the_loop_runs_while_a_starting_node_loads(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, 1, settings=SETTINGS) as cluster:
        for i in range(150):
            await cluster.propose(b"%d" % i)
        await eventually(lambda: cluster.replicators["n1"].status().snapshot_index > 100)
        await cluster.stop("n1")
        starting = asyncio.create_task(cluster.start("n1"))
        await eventually(lambda: SlowMachine.loads)
        await asyncio.sleep(0.01)
        assert not starting.done()
        SlowMachine.may_load.set()
        await starting
        await cluster.propose(b"again")
        assert (3, b"0") in cluster.machines["n1"].commands


def test_who_loads_aside() -> None:
    assert isinstance(SlowMachine(), LoadsAside)
    assert not isinstance(LogMachine(), LoadsAside)
