"""Nodes in network namespaces: what is cut is cut, one direction at a time; what is slow is slow;
everything heals, and no namespace is left."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chaos.testbed.cluster import ClusterUnderTest
from chaos.testbed.netns import NamespaceNetwork
from chaos.testbed.proxy import CLEAR, Mode
from chaos.testbed.socket_owner import CLIENTS
from coord.client import Client
from tests.support.chaos_clusters import make, running, writes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(NamespaceNetwork.why_not()), reason=NamespaceNetwork.why_not()),
]


def namespaces() -> set[str]:
    return {path.name for path in Path("/run/netns").iterdir()}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterUnderTest]:
    directory = tmp_path_factory.mktemp("netns") / "cluster"
    async with running(directory, network="netns") as cluster:
        yield cluster
    assert not namespaces() & {command[-1] for command in cluster.network.remover()}


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(shared: ClusterUnderTest) -> AsyncIterator[ClusterUnderTest]:
    """Works before and after; every link is whole."""
    shared.links.clear()
    assert await writes(shared)
    yield shared
    assert all(link.condition == CLEAR for link in shared.links.all())
    assert await writes(shared)


async def reaches(cluster: ClusterUnderTest, source: str, target: str) -> bool:
    """Whether packets get from one node to another and back: a new connection is made."""
    address = cluster.address(target).partition(":")[0]
    command = [
        *("timeout", "1", "bash", "-c"),
        f"exec 3<>/dev/tcp/{address}/{cluster.address(target).partition(':')[2]}",
    ]
    process = await asyncio.create_subprocess_exec(*cluster.network.command(source, command))
    return await process.wait() == 0


async def test_a_cut_holds_in_one_direction(cluster: ClusterUnderTest) -> None:
    assert await reaches(cluster, "n1", "n2")
    before = cluster.links.between("n1", "n2")
    cluster.links.update("n1", "n2", mode=Mode.DROP)
    assert not await reaches(cluster, "n1", "n2"), "n1's packets do not arrive"
    assert not await reaches(cluster, "n2", "n1"), "n1's answers do not arrive"
    assert await reaches(cluster, "n1", "n3")
    cluster.links.clear()
    assert before.condition == CLEAR
    assert await reaches(cluster, "n1", "n2")
    assert await reaches(cluster, "n2", "n1")


@pytest.mark.parametrize(
    ("variant", "apart"),
    [("halves", 4), ("one-way", 4), ("bridge", 2)],
)
async def test_a_partition_keeps_nodes_apart(
    cluster: ClusterUnderTest, variant: str, apart: int
) -> None:
    """`apart`: of the six ways to connect between three nodes, those that lead nowhere."""
    partition = make("partition", variant, cluster)
    await partition.begin()
    ways = list(itertools.permutations(cluster.node_ids, 2))
    connected = await asyncio.gather(*(reaches(cluster, *way) for way in ways))
    assert connected.count(False) == apart, dict(zip(ways, connected, strict=True))
    await partition.end()
    assert all(await asyncio.gather(*(reaches(cluster, *way) for way in ways)))


async def test_an_isolated_leader_is_replaced_and_still_seen_by_the_harness(
    cluster: ClusterUnderTest,
) -> None:
    before = await cluster.leader()
    isolate = make("partition", "isolate-leader", cluster)
    await isolate.begin()
    deadline = time.monotonic() + 20
    while await cluster.leader() in {before, None}:
        assert time.monotonic() < deadline
    assert await writes(cluster)
    assert set(await cluster.roles()) == set(cluster.node_ids)
    await isolate.end()


async def test_clients_can_be_cut_off(cluster: ClusterUnderTest) -> None:
    for node_id in cluster.node_ids:
        cluster.links.update(CLIENTS, node_id, mode=Mode.DROP)
    assert not await writes(cluster, 1_000)
    assert await cluster.leader() is not None
    cluster.links.clear()


async def test_bandwidth_is_little(cluster: ClusterUnderTest) -> None:
    async def put_s() -> float:
        async with Client(cluster.endpoints, use_session=False) as client:
            await client.kv.get("found the leader")
            started = time.monotonic()
            await client.kv.put("large", b"x" * 30_000)
            return time.monotonic() - started

    assert await put_s() < 0.25
    slow = make("bandwidth", "all", cluster, 100_000)
    await slow.begin()
    assert await put_s() > 0.25
    await slow.end()
    assert await put_s() < 0.25


async def test_connections_are_reset(cluster: ClusterUnderTest) -> None:
    _, writer = await asyncio.open_connection(*cluster.address("n1").split(":"))
    with pytest.raises(ConnectionResetError):  # noqa: PT012 - it may take a moment to arrive
        cluster.links.between(CLIENTS, "n1").reset()
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
    writer.close()


HOLDS_PACKETS = pytest.mark.skipif(
    not NamespaceNetwork.why_not() and "delay" in NamespaceNetwork.lacks(),
    reason="this machine has neither netem nor TAP devices",
)
ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
    echo.bind((sys.argv[1], 0))
    print(echo.getsockname()[1], flush=True)
    while True:
        data, back = echo.recvfrom(100)
        echo.sendto(data, back)
"""


async def pings_ms(cluster: ClusterUnderTest, target: str, count: int) -> list[float]:
    """How long datagrams took from clients to a node and back, by TCP neither mended nor merged;
    those that did not come back within a while are left out."""
    address = cluster.address(target).partition(":")[0]
    echo = await asyncio.create_subprocess_exec(
        *cluster.network.command(target, [sys.executable, "-c", ECHO, address]),
        stdout=asyncio.subprocess.PIPE,
    )
    assert echo.stdout is not None
    port = int(await echo.stdout.readline())
    loop, took_ms = asyncio.get_running_loop(), []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ping:
        ping.setblocking(False)
        for n in range(count):
            await loop.sock_sendto(ping, f"{n} {time.monotonic()}".encode(), (address, port))
        with contextlib.suppress(TimeoutError):
            while len(took_ms) < count:
                async with asyncio.timeout(1.0):
                    _, sent_s = (await loop.sock_recv(ping, 100)).split()
                took_ms.append((time.monotonic() - float(sent_s)) * 1_000)
    echo.kill()
    await echo.wait()
    return took_ms


@HOLDS_PACKETS
async def test_packets_are_delayed_in_the_direction_that_is_slow(
    cluster: ClusterUnderTest,
) -> None:
    for source, target in ((CLIENTS, "n1"), ("n1", CLIENTS)):
        cluster.links.update(source, target, delay_ms=150, jitter_ms=50)
        took_ms = await pings_ms(cluster, "n1", 20)
        assert (len(took_ms), min(took_ms) >= 150) == (20, True), (source, target)
        assert min(await pings_ms(cluster, "n2", 20)) < 100, "the others are as fast as before"
        cluster.links.clear()
    assert min(await pings_ms(cluster, "n1", 20)) < 100

    slow = make("delay", "all", cluster, (50, 100))
    await slow.begin()
    started = time.monotonic()
    assert await writes(cluster)
    assert time.monotonic() - started > 0.1
    await slow.end()


@HOLDS_PACKETS
async def test_packets_are_lost_and_the_cluster_goes_on(cluster: ClusterUnderTest) -> None:
    for source, target in ((CLIENTS, "n1"), ("n1", CLIENTS)):
        cluster.links.update(source, target, loss_permille=500)
        assert 60 < len(await pings_ms(cluster, "n1", 200)) < 140
        assert len(await pings_ms(cluster, "n2", 200)) == 200
        cluster.links.clear()
    assert len(await pings_ms(cluster, "n1", 200)) == 200

    lossy = make("loss", "all", cluster, 50)
    await lossy.begin()
    assert await writes(cluster)
    await lossy.end()


@HOLDS_PACKETS
async def test_a_slow_link_between_nodes_can_also_be_cut(cluster: ClusterUnderTest) -> None:
    cluster.links.update("n1", "n2", delay_ms=150)
    started = time.monotonic()
    assert await reaches(cluster, "n1", "n2")
    assert time.monotonic() - started > 0.15
    cluster.links.update("n1", "n2", mode=Mode.DROP)
    assert not await reaches(cluster, "n1", "n2")
    cluster.links.clear()
    assert await reaches(cluster, "n1", "n2")
