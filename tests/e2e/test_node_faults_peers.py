"""Strangers at the peer ports of a real cluster: refused, named in the logs of both sides, and
of no effect on the cluster or its data."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from coord.client import Client
from coord.client.transport.errors import CoordError, NoLeaderError
from coord.localcluster import LocalCluster
from coord.localcluster.ports import free_base_port
from coord.pb import etcd_rpc_pb2 as etcd
from tests.support.faults import (
    config_of,
    endpoints,
    equal_digests,
    leader_and_followers,
    rogue_node,
    running_cluster,
    wait_for_log,
)
from tests.support.rpc import Stubs, refused

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path_factory.mktemp("peers") / "cluster") as cluster:
        yield cluster


def cluster_id_of(cluster: LocalCluster) -> str:
    return config_of(cluster, "n1").read_text().split('cluster_id = "')[1].split('"')[0]


def peer_addresses(cluster: LocalCluster) -> list[str]:
    """Peer ports lie 100 above the client ports."""
    hosts = [address.rpartition(":") for address in cluster.endpoints]
    return [f"{host}:{int(port) + 100}" for host, _, port in hosts]


def stranger(cluster: LocalCluster, cluster_id: str, node_id: str) -> tuple[list[str], str]:
    """Settings of a node on ports of its own that takes n1 and n2 for its peers; its address."""
    base = free_base_port(1)
    known = zip(("n1", "n2"), peer_addresses(cluster), cluster.endpoints, strict=False)
    members = [*known, (node_id, f"127.0.0.1:{base + 100}", f"127.0.0.1:{base}")]
    lines = [f'cluster_id = "{cluster_id}"', f'node_id = "{node_id}"']
    for name, peer, client in members:
        lines += ["[[members]]", f'node_id = "{name}"']
        lines += [f'peer_address = "{peer}"', f'client_address = "{client}"']
    return lines, f"127.0.0.1:{base}"


@pytest.mark.parametrize(("kind", "reason"), [("cluster", "NOT_HERE"), ("node", "UNKNOWN_NODE")])
async def test_a_stranger_is_refused_and_changes_nothing(
    cluster: LocalCluster, tmp_path: Path, kind: str, reason: str
) -> None:
    before = await asyncio.to_thread(leader_and_followers, cluster)
    wrong_cluster = kind == "cluster"
    lines, address = stranger(
        cluster,
        "another" if wrong_cluster else cluster_id_of(cluster),
        "n3" if wrong_cluster else "n9",
    )
    async with Client(endpoints(cluster)) as client:
        term = (await client.cluster.status()).term
        with rogue_node(tmp_path / "rogue", lines) as log:
            for target in ("n1", "n2"):
                words = ("peer_refused_us", f"peer_id={target}", reason)
                await asyncio.to_thread(wait_for_log, log, *words)
                words = ("peer_refused ", reason, "remote=")
                await asyncio.to_thread(wait_for_log, cluster.log_path(target), *words)
            async with grpc.aio.insecure_channel(address) as channel:
                put = Stubs(channel).kv.Put(etcd.PutRequest(key=b"from a stranger"), timeout=5)
                code, reason, _, _ = await refused(put)
                assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "NO_LEADER")
            if wrong_cluster:  # its clients do not end up in the cluster it takes for its own
                async with Client(address, use_session=False) as astray:
                    with pytest.raises(NoLeaderError):
                        await astray.kv.put("from a stranger", b"x", timeout_ms=2_500)
            revision = await client.kv.put(f"meanwhile {kind}", b"x", timeout_ms=2_000)
            assert await client.kv.get("from a stranger") is None
            assert "Traceback" not in log.read_text()
            assert "role=leader" not in log.read_text()
        status = await client.cluster.status()
        assert (status.term, status.leader) == (term, before[0])
        assert {member.id for member in status.members} == {"n1", "n2", "n3"}
        assert await client.kv.put("afterwards", b"x") == revision + 1
    await equal_digests(cluster)


NOISE = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "zeros": bytes(100_000),
    "a huge frame": b"\xff" * 64,
}


async def test_noise_at_the_peer_ports_disturbs_nobody(cluster: LocalCluster) -> None:
    leader, _ = await asyncio.to_thread(leader_and_followers, cluster)
    async with Client(endpoints(cluster)) as client:
        term = (await client.cluster.status()).term
        for noise in NOISE.values():
            for address in peer_addresses(cluster):
                await asyncio.to_thread(shout, address, noise)
        try:
            await client.kv.put("after the noise", b"x", timeout_ms=2_000)
        except CoordError as error:
            pytest.fail(f"the cluster was disturbed: {error}")
        status = await client.cluster.status()
        assert (status.leader, status.term) == (leader, term)
    for node_id in cluster.node_ids:
        assert "Traceback" not in cluster.log_path(node_id).read_text()
    await equal_digests(cluster)


def shout(address: str, noise: bytes) -> None:
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4_096):
            continue
