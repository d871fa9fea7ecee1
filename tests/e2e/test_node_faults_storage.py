"""Damaged and foreign data directories under real nodes: what can be repaired is, everything else
refuses to start with one line that says what to do, and the rest of the cluster goes on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from coord.client import Client
from coord.localcluster import LocalCluster
from tests.support.faults import (
    config_of,
    endpoints,
    equal_digests,
    leader_and_followers,
    running_cluster,
    serve_refused,
    used,
    wait_for_log,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Its journals reserve room, which is the harder case."""
    directory = tmp_path_factory.mktemp("storage") / "cluster"
    with running_cluster(directory, journal_reserve_bytes=65_536) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: LocalCluster) -> LocalCluster:
    """All nodes are up."""
    shared.start()
    return shared


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with Client(endpoints(cluster), name="faults") as client:
        yield client


async def write_some(client: Client, mark: str, count: int = 10) -> None:
    for number in range(count):
        await client.kv.put(f"{mark}/{number}", b"x" * 200)


async def killed_follower(cluster: LocalCluster, client: Client, mark: str) -> tuple[str, Path]:
    """A follower that holds what was written just now, killed; and its journal's last segment."""
    await write_some(client, mark)
    await equal_digests(cluster)
    _, (victim, _) = await asyncio.to_thread(leader_and_followers, cluster)
    await asyncio.to_thread(cluster.kill, victim)
    journal = cluster.data_directory(victim) / "journal"
    return victim, sorted(journal.glob("*.wal"))[-1]


def cut(count: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:-count]


TORN: dict[str, Callable[[bytes], bytes]] = {
    "one byte short": cut(1),
    "cut inside a header": cut(230),
    "garbage behind": lambda data: data + bytes(range(256)) * 9,
    "half a record behind": lambda data: data + data[-60:],
}


@pytest.mark.parametrize("name", TORN)
async def test_a_torn_end_of_the_journal_is_repaired(
    cluster: LocalCluster, client: Client, name: str
) -> None:
    victim, segment = await killed_follower(cluster, client, name)
    whole = used(segment)
    room = segment.stat().st_size - len(whole)
    assert room > 0
    segment.write_bytes(TORN[name](whole) + bytes(room))
    await write_some(client, f"{name}, while it was away")
    await asyncio.to_thread(cluster.start, victim)
    await asyncio.to_thread(
        wait_for_log, cluster.log_path(victim), "journal_tail_cut", segment.name
    )
    await equal_digests(cluster)
    assert segment.read_bytes().startswith(whole[:-400])


async def test_a_journal_damaged_in_the_middle_is_refused_and_the_advice_works(
    cluster: LocalCluster, client: Client
) -> None:
    victim, segment = await killed_follower(cluster, client, "middle")
    data = bytearray(segment.read_bytes())
    place = len(used(segment)) // 2
    data[place] ^= 0x40
    segment.write_bytes(data)
    line = await asyncio.to_thread(serve_refused, config_of(cluster, victim))
    assert f"node {victim} cannot start: storage is damaged: {segment} at byte " in line
    offset = int(line.split(" at byte ")[1].split(":")[0])
    assert 0 < offset <= place < offset + 1_000, line
    assert "What to do: " in line
    assert "move its data directory away" in line
    assert segment.read_bytes() == bytes(data), "what is damaged is not touched"
    await write_some(client, "the other two go on")

    directory = cluster.data_directory(victim)
    directory.rename(directory.with_name("damaged"))
    await asyncio.to_thread(cluster.start, victim)
    await equal_digests(cluster)


@pytest.mark.parametrize("kind", ["missing", "damaged", "empty"])
async def test_a_node_without_its_vote_is_refused(
    cluster: LocalCluster, client: Client, kind: str
) -> None:
    victim, _ = await killed_follower(cluster, client, f"vote {kind}")
    vote = cluster.data_directory(victim) / "vote"
    kept = vote.read_bytes()
    if kind == "missing":
        vote.unlink()
    else:
        vote.write_bytes(b"" if kind == "empty" else kept.replace(b"term", b"turn"))
    line = await asyncio.to_thread(serve_refused, config_of(cluster, victim))
    assert f"cannot start: storage is damaged: {vote}" in line
    assert "What to do: " in line
    await write_some(client, f"without {kind} vote")
    vote.write_bytes(kept)
    await asyncio.to_thread(cluster.start, victim)
    await equal_digests(cluster)


async def test_two_nodes_never_share_a_data_directory(
    cluster: LocalCluster, client: Client
) -> None:
    for node_id in cluster.node_ids:
        line = await asyncio.to_thread(serve_refused, config_of(cluster, node_id))
        assert f"{cluster.data_directory(node_id)} is in use by another running node" in line
    await write_some(client, "nobody was disturbed")
    await equal_digests(cluster)


async def test_a_directory_of_another_cluster_or_node_is_refused(
    cluster: LocalCluster, client: Client, tmp_path: Path
) -> None:
    victim, _ = await killed_follower(cluster, client, "foreign")
    directory = cluster.data_directory(victim)
    text = config_of(cluster, victim).read_text()
    other_node = next(node_id for node_id in cluster.node_ids if node_id != victim)
    cluster_id = text.split('cluster_id = "')[1].split('"')[0]
    wrong = {
        f"belongs to cluster '{cluster_id}'": (f'cluster_id = "{cluster_id}"', 'cluster_id = "b"'),
        f"belongs to node '{victim}'": (f'node_id = "{victim}"', f'node_id = "{other_node}"'),
    }
    before = sorted(path.name for path in directory.iterdir())
    for words, (old, new) in wrong.items():
        config = tmp_path / "node.toml"
        config.write_text(text.replace(old, new, 1))
        line = await asyncio.to_thread(serve_refused, config)
        assert words in line
        assert str(directory) in line
        assert "or use an empty directory" in line
    assert sorted(path.name for path in directory.iterdir()) == before


async def test_a_directory_with_data_but_without_identity_is_refused(
    cluster: LocalCluster, client: Client
) -> None:
    victim, _ = await killed_follower(cluster, client, "identity")
    directory = cluster.data_directory(victim)
    kept = shutil.move(directory / "IDENTITY", directory.with_name("IDENTITY"))
    line = await asyncio.to_thread(serve_refused, config_of(cluster, victim))
    assert f"{directory / 'IDENTITY'}: the file that says whose data this is is missing" in line
    shutil.move(kept, directory / "IDENTITY")
