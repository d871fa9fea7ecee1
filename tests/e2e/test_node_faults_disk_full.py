"""Full disks under real nodes: one full disk stops nobody, all of them stop only writes, nothing
acknowledged is lost, and room is all that is needed to go on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc.aio
import pytest

from coord.client import Client
from coord.client.transport.errors import CoordError, ResourceExhaustedError
from coord.localcluster import LocalCluster
from coord.localcluster.ports import free_base_port
from coord.localcluster.probe import ask_nodes
from coord.pb import common_pb2, lock_pb2
from tests.support.acknowledged_load import AcknowledgedLoad, losses
from tests.support.faults import (
    SmallDisk,
    acknowledged_more,
    address_of,
    config_of,
    endpoints,
    equal_digests,
    give_back_room,
    leader_and_followers,
    serve_refused,
)
from tests.support.rpc import Stubs
from tests.support.waiting import eventually

REFUSALS = 20
pytestmark = pytest.mark.integration
LARGE = b"x" * 50_000  # a few of them use the room up that a journal has reserved
Disks = dict[str, SmallDisk]


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalCluster, Disks]]:
    """A cluster in which every node has a small disk of its own for its data."""
    directory = tmp_path_factory.mktemp("full") / "cluster"
    cluster = LocalCluster(directory, nodes=3, base_port=free_base_port(3))
    mounted: Disks = {}
    try:
        for node_id in ("n1", "n2", "n3"):
            disk = SmallDisk(directory / node_id / "data")
            why_not = disk.mount(64)
            if why_not:
                pytest.skip(f"a small file system cannot be mounted here: {why_not}")
            mounted[node_id] = disk
        cluster.up()
        yield cluster, mounted
    finally:
        cluster.down(grace_ms=3_000)
        for disk in mounted.values():
            disk.unmount()


@pytest.fixture
def cluster(hardware: tuple[LocalCluster, Disks]) -> LocalCluster:
    return hardware[0]


@pytest.fixture
def disks(hardware: tuple[LocalCluster, Disks]) -> Iterator[Disks]:
    """All of them have room before and after."""
    yield hardware[1]
    for disk in hardware[1].values():
        disk.make_room()


def write_block(cluster: LocalCluster, node_id: str) -> str:
    address = address_of(cluster, node_id)
    answer = ask_nodes([address]).get(address)
    return answer.write_block_reason if answer else "no answer"


async def blocked(cluster: LocalCluster, *node_ids: str) -> None:
    """Return when these nodes say that their disks are full."""
    for node_id in node_ids:
        await eventually(
            lambda n=node_id: write_block(cluster, n) == "DISK_FULL",  # type: ignore[misc]
            30,
            f"{node_id} sees its full disk",
        )


async def refusing(cluster: LocalCluster) -> str:
    """Return the leader when it takes no writes any more; another node may have room left."""

    def refuses() -> bool:
        leader = cluster.leader()
        return leader is not None and write_block(cluster, leader) == "DISK_FULL"

    await eventually(refuses, 30, "the leader refuses writes")
    leader = cluster.leader()
    assert leader is not None
    return leader


async def put_until_refused(client: Client) -> None:
    """These find out; the outcome of the last may be unknown."""
    for number in range(100):
        try:
            await client.kv.put(f"finds out {number}", LARGE, timeout_ms=1_000)
        except CoordError:
            return
    raise AssertionError("the disks take everything")


async def test_a_follower_with_a_full_disk_holds_nobody_up(
    cluster: LocalCluster, disks: Disks
) -> None:
    leader, (full, _) = leader_and_followers(cluster)
    load = AcknowledgedLoad(endpoints(cluster))
    load.start()
    await acknowledged_more(load, 5)
    disks[full].fill()
    await blocked(cluster, full)
    await acknowledged_more(load, 40)
    assert cluster.leader() == leader
    disks[full].make_room()
    await acknowledged_more(load, 5)
    await load.stop()
    await equal_digests(cluster)
    await eventually(lambda: write_block(cluster, full) == "", 5, "it has written what it missed")
    assert await losses(endpoints(cluster), load.memory) == []
    assert (load.memory.refused_calls, load.memory.unknown_calls) == (0, 0)


async def test_a_leader_with_a_full_disk_hands_over_and_loses_nothing(
    cluster: LocalCluster, disks: Disks
) -> None:
    full, others = leader_and_followers(cluster)
    load = AcknowledgedLoad(endpoints(cluster))
    load.start()
    await acknowledged_more(load, 5)
    disks[full].fill()
    filled_at = asyncio.get_running_loop().time()
    await eventually(lambda: cluster.leader() in others, 10, "another node leads")
    await acknowledged_more(load, 40)
    gap_ms = load.longest_gap_ms(filled_at, asyncio.get_running_loop().time())
    assert write_block(cluster, full) == "DISK_FULL", "the disk was full all the time"
    disks[full].make_room()
    await load.stop()
    await equal_digests(cluster)
    assert await losses(endpoints(cluster), load.memory) == []
    assert gap_ms < 4_000, f"no writes for {gap_ms} ms"


async def lock_of_session(cluster: LocalCluster, session_id: int) -> int:
    """The token of a lock that lives as long as the session. The client knows nothing of it: it
    would give the lock up when its session cannot be renewed for a time to live."""
    async with grpc.aio.insecure_channel(cluster.endpoints[0]) as channel:
        header = common_pb2.RequestHeader(session_id=session_id)
        request = lock_pb2.AcquireLockRequest(header=header, name="kept", holder="test")
        reply = await Stubs(channel).locks.Acquire(request, timeout=20)
    assert reply.acquired
    return int(reply.fencing_token)


async def test_when_all_disks_are_full_writes_are_refused_until_there_is_room(
    cluster: LocalCluster, disks: Disks
) -> None:
    ttl_ms = 1_500
    async with Client(endpoints(cluster), session_ttl_ms=ttl_ms, timeout_ms=5_000) as client:
        session_id = await client.open_session()
        token = await lock_of_session(cluster, session_id)
        revision = await client.kv.put("before", b"1")
        lost: list[int] = []
        client.on_session_lost(lost.append)
        for disk in disks.values():
            disk.fill()
        await put_until_refused(client)
        leader = await refusing(cluster)

        for number in range(5):
            with pytest.raises(ResourceExhaustedError, match="disk") as refused:
                await client.kv.put(f"refused {number}", b"1")
            assert (refused.value.reason, refused.value.retryable) == ("DISK_FULL", True)
        found = await client.kv.get("before")
        assert found is not None, "reads are served"
        assert found.mod_revision == revision
        await asyncio.sleep(ttl_ms / 1_000 * 1.5)  # no session may end while none can be renewed
        assert cluster.leader() == leader

        for disk in disks.values():
            disk.make_room()
        await eventually(lambda: write_block(cluster, leader) == "", 5, "the leader has room again")
        await client.kv.put("after", b"1")
        assert [one.key for one in await client.kv.get_prefix("refused")] == []
        await client.kv.put("later", b"1")
        assert (client.session_id, lost) == (session_id, [])
        held = await client.locks.get("kept")
        assert held is not None
        assert held.fencing_token == token
    await equal_digests(cluster)


async def told_no(load: AcknowledgedLoad) -> None:
    """Return when many calls have been refused since."""
    memory = load.memory
    count = memory.refused_calls + memory.unknown_calls + REFUSALS
    await eventually(
        lambda: memory.refused_calls + memory.unknown_calls >= count, 20, "callers are told"
    )


async def test_load_goes_on_after_all_disks_were_full(cluster: LocalCluster, disks: Disks) -> None:
    load = AcknowledgedLoad(endpoints(cluster))
    load.start()
    await acknowledged_more(load, 5)
    for disk in disks.values():
        disk.fill()
    await refusing(cluster)
    await told_no(load)  # what was committed before may be answered until then
    before = len(load.memory.submitted)
    await told_no(load)
    assert len(load.memory.submitted) == before, "acknowledged although no disk could keep it"
    for disk in disks.values():
        disk.make_room()
    await acknowledged_more(load, 10)
    await load.stop()
    assert await losses(endpoints(cluster), load.memory) == []
    await equal_digests(cluster)


async def test_a_node_starts_on_a_full_disk_and_votes(cluster: LocalCluster, disks: Disks) -> None:
    """Of three nodes one is down, so that the next leader needs its vote, full as it is."""
    leader, (victim, third) = leader_and_followers(cluster)
    cluster.kill(victim)
    give_back_room(cluster.data_directory(victim))
    disks[victim].fill()
    cluster.start(victim)
    async with Client(endpoints(cluster), timeout_ms=10_000) as client:
        await client.kv.put("with one full disk", LARGE)
        await blocked(cluster, victim)
        cluster.kill(leader)
        await eventually(lambda: cluster.leader() == third, 10, "the third node leads")
        await eventually(lambda: write_block(cluster, third) == "DISK_FULL", 5, "it knows")
        with pytest.raises(ResourceExhaustedError, match="disk"):
            await client.kv.put("refused", b"1")
        disks[victim].make_room()
        await eventually(lambda: write_block(cluster, third) == "", 5, "there is room again")
        await client.kv.put("with room again", b"1")
    cluster.start(leader)
    await equal_digests(cluster)


def test_a_new_node_that_starts_on_a_full_disk_says_so(
    cluster: LocalCluster, disks: Disks, tmp_path: Path
) -> None:
    _, (victim, _) = leader_and_followers(cluster)
    cluster.kill(victim)
    directory = cluster.data_directory(victim)
    names = [path.name for path in directory.iterdir()]
    for name in names:
        shutil.move(directory / name, tmp_path / name)
    disks[victim].fill()
    line = serve_refused(config_of(cluster, victim))
    assert f"node {victim} cannot start: no space left to write {disks[victim].path}" in line
    disks[victim].make_room()
    for name in names:
        shutil.move(tmp_path / name, directory / name)
    cluster.start(victim)
