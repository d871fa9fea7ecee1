"""Nemeses of disks and clocks, on real nodes: each does what it says, and heals."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chaos.nemeses import NEMESES
from chaos.nemeses.base import Nemesis
from chaos.run.settle import equal_digests
from chaos.testbed.cluster import ClusterUnderTest
from coord.client import Client, CoordError
from coord.localcluster.processes import ProcessState
from tests.support.chaos_clusters import make, running, writes
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]
BYTES = b"x" * 8_000  # a few of them fill a segment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterUnderTest]:
    directory = tmp_path_factory.mktemp("machines") / "cluster"
    async with running(directory, steered=True, settings={"segment_bytes": 65_536}) as cluster:
        yield cluster


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(shared: ClusterUnderTest) -> AsyncIterator[ClusterUnderTest]:
    """Works before and after, with equal states, and no node did wrong."""
    assert await writes(shared)
    yield shared
    assert await writes(shared)
    digests, complaint = await equal_digests(shared)
    assert (len(digests), complaint) == (3, "")
    shared.note_unexpected_ends(0)
    assert (shared.unexpected_ends, shared.hardware.complaints) == ([], [])


def is_down(cluster: ClusterUnderTest, node_id: str) -> bool:
    return cluster.state(node_id) is ProcessState.DOWN


async def put_ms(cluster: ClusterUnderTest, value: bytes = b"1") -> float:
    """How long a write takes, once somebody leads."""
    async with Client(cluster.endpoints, name="timed", use_session=False) as client:
        await client.kv.get("found the leader")
        started = time.monotonic()
        await client.kv.put("timed", value)
        return (time.monotonic() - started) * 1_000


async def ends_its_victim(cluster: ClusterUnderTest, nemesis: Nemesis) -> str:
    """Begin; the one victim ends by itself while the others go on writing."""
    await nemesis.begin()
    assert nemesis.victims is not None
    (victim,) = nemesis.victims
    async with Client(cluster.endpoints, name="load", use_session=False) as client:
        deadline = time.monotonic() + 20
        while not is_down(cluster, victim):
            assert time.monotonic() < deadline, f"{victim} is still running"
            try:
                await client.kv.put("load", BYTES, timeout_ms=2_000)
            except CoordError:
                continue
    assert await writes(cluster), "the others go on"
    return victim


async def test_a_slow_disk_is_slow(cluster: ClusterUnderTest) -> None:
    nemesis = make("disk-slow", "all", cluster, 500)
    await nemesis.begin()
    assert await put_ms(cluster) >= 500
    await nemesis.end()
    assert await put_ms(cluster) < 500


async def test_a_full_disk_takes_nothing(cluster: ClusterUnderTest) -> None:
    nemesis = make("disk-full", "all", cluster)
    await nemesis.begin()
    async with Client(cluster.endpoints, name="refused", use_session=False) as client:
        deadline, reason = time.monotonic() + 20, ""
        while reason != "DISK_FULL":
            assert time.monotonic() < deadline, reason
            try:
                await client.kv.put("refused", b"1", timeout_ms=1_000)
            except CoordError as error:
                reason = error.reason
    await nemesis.end()


async def test_a_leader_whose_syncs_fail_stops_itself(cluster: ClusterUnderTest) -> None:
    victim = await ends_its_victim(cluster, nemesis := make("disk-failing", "leader", cluster))
    assert "SyncFailedError" in cluster.log_path(victim).read_text()
    assert await cluster.leader() != victim
    await nemesis.end()
    assert cluster.state(victim) is ProcessState.RUNNING


async def test_a_power_cut_loses_what_was_not_synced(cluster: ClusterUnderTest) -> None:
    victim = await ends_its_victim(cluster, nemesis := make("power-cut", "leader", cluster))
    assert cluster.hardware.notes(victim)[-1].startswith("power lost: 0 of ")
    await nemesis.end()


async def tears_a_record(cluster: ClusterUnderTest) -> tuple[Nemesis, str, int, int]:
    """The nemesis, its victim, and how many of how many bytes it kept. The power may also fail
    while a new segment is made, whose header is no record: it has no name yet and is removed."""
    for _ in range(3):
        victim = await ends_its_victim(cluster, nemesis := make("torn-write", "one", cluster))
        kept, whole = (
            int(word) for word in cluster.hardware.notes(victim)[-1].split() if word.isdigit()
        )
        if whole > len(BYTES):
            return nemesis, victim, kept, whole
        await nemesis.end()
        assert await writes(cluster)
    raise AssertionError("a new segment was being made three times")


async def test_a_torn_write_leaves_half_a_record_that_is_cut_off(
    cluster: ClusterUnderTest,
) -> None:
    nemesis, victim, kept, whole = await tears_a_record(cluster)
    assert 0 < kept < whole
    log = cluster.log_path(victim)
    before = log.read_text().count("journal_tail_cut")
    await nemesis.end()
    await eventually(lambda: log.read_text().count("journal_tail_cut") > before, 20)


@pytest.mark.parametrize("variant", ["put-back", "emptied"])
async def test_a_damaged_segment_is_refused(cluster: ClusterUnderTest, variant: str) -> None:
    for _ in range(20):
        await put_ms(cluster, BYTES)
    nemesis = make("damage", variant, cluster)
    await nemesis.begin()
    assert nemesis.victims is not None
    (victim,) = nemesis.victims
    await nemesis.last(0)
    assert is_down(cluster, victim)
    assert cluster.log_path(victim).read_text().splitlines()[-1].startswith("coord: node")
    assert await writes(cluster), "the others go on"
    await nemesis.end()


async def leaders_time_ms(cluster: ClusterUnderTest) -> int:
    """Cluster time, once somebody leads."""
    async with Client(cluster.endpoints, name="time", use_session=False) as client:
        await client.kv.put("time", b"1")
        leader = await cluster.leader()
        assert leader is not None
        status = await client.cluster.node_status(cluster.address(leader))
        return status.cluster_time_ms


async def leaders_wall_ms(cluster: ClusterUnderTest) -> int:
    async with Client(cluster.endpoints, name="wall") as client:
        session_id = await client.open_session()
        (found,) = [s for s in await client.sessions.list() if s.session_id == session_id]
        return found.opened_unix_ms


async def test_a_wall_clock_jumps_and_is_set_right(cluster: ClusterUnderTest) -> None:
    day_ms = 24 * 3_600_000
    nemesis = make("wall-jump", "all", cluster, -day_ms)
    await nemesis.begin()
    before = await leaders_wall_ms(cluster)
    assert abs(before + day_ms - time.time() * 1_000) < 5_000
    await nemesis.end()
    assert abs(await leaders_wall_ms(cluster) - time.time() * 1_000) < 5_000


async def test_a_wall_clock_drifts(cluster: ClusterUnderTest) -> None:
    nemesis = make("wall-drift", "all", cluster, 500)
    await nemesis.begin()
    started = time.time() * 1_000
    await asyncio.sleep(0.5)  # what is measured is a rate
    assert await leaders_wall_ms(cluster) < time.time() * 1_000 - 0.4 * (
        time.time() * 1_000 - started
    )
    await nemesis.end()
    assert abs(await leaders_wall_ms(cluster) - time.time() * 1_000) < 400


async def test_a_monotonic_clock_jumps(cluster: ClusterUnderTest) -> None:
    ahead_ms = cluster.hardware.ahead_ms
    before, real_before = await leaders_time_ms(cluster), time.monotonic()
    nemesis = make("monotonic-jump", "all", cluster, 10_000)
    await nemesis.begin()
    await nemesis.end()
    passed_ms = await leaders_time_ms(cluster) - before
    assert passed_ms > 5_000 + (time.monotonic() - real_before) * 1_000
    assert cluster.hardware.ahead_ms == ahead_ms + 3 * 10_000


async def test_a_monotonic_clock_drifts(cluster: ClusterUnderTest) -> None:
    nemesis = make("monotonic-drift", "all", cluster, 2_000)
    ahead_ms = cluster.hardware.ahead_ms
    await nemesis.begin()
    before, real_before = await leaders_time_ms(cluster), time.monotonic()
    await asyncio.sleep(0.5)  # what is measured is a rate
    passed_ms = await leaders_time_ms(cluster) - before
    real_ms = (time.monotonic() - real_before) * 1_000
    assert 1.5 * real_ms < passed_ms < 2.5 * real_ms
    await nemesis.end()
    assert cluster.hardware.ahead_ms - ahead_ms >= 3 * real_ms * 0.9


async def test_snapshots_are_taken_and_the_log_before_them_goes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("snapshots") / "cluster"
    async with running(directory, 1, settings=NEMESES["snapshots"].settings) as cluster:
        data = cluster.data_directory("n1")
        nemesis = make("snapshots", "", cluster)
        await nemesis.begin()
        seen: set[str] = set()
        segments: set[str] = set()
        deadline = time.monotonic() + 60
        while len(seen) < 3 or len(segments) < 3:
            assert time.monotonic() < deadline, (seen, segments)
            await nemesis.last(1.0)  # long enough for a round, which ends with a compaction
            for _ in range(9):
                await put_ms(cluster, BYTES)
            seen |= {path.name for path in (data / "snapshots").iterdir()}
            segments |= {path.name for path in (data / "journal").glob("*.wal")}
        left = {path.name for path in (data / "journal").glob("*.wal")}
        assert min(left) > min(segments), "the first segment is gone"
        async with Client(cluster.endpoints, use_session=False) as client:
            with pytest.raises(CoordError, match="compact"):
                await client.kv.range("chaos-snapshots", revision=1)
        await nemesis.end()
        assert await writes(cluster)


async def test_a_node_without_data_whose_wall_clock_was_put_back_rejoins(
    cluster: ClusterUnderTest,
) -> None:
    leader = await cluster.leader()
    victim = next(n for n in cluster.node_ids if n != leader)
    await cluster.kill(victim)
    await cluster.hardware.set(victim, wall_ahead_ms=-24 * 3_600_000)
    shutil.rmtree(cluster.data_directory(victim))
    await cluster.start(victim)
    deadline = time.monotonic() + 20
    while (await cluster.roles()).get(victim, ("", 0))[0] not in ("follower", "leader"):
        assert time.monotonic() < deadline, await cluster.roles()
        await asyncio.sleep(0.05)
    await cluster.hardware.heal()
