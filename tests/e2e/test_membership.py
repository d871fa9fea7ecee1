"""Members of a real cluster come and go while it works: growing to five, losing two of them, taking
the leader out, and putting a new node in the place of a dead one. Nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from coord.client import Client, NotFoundError
from coord.client.transport.errors import FailedPreconditionError, IndefiniteError
from coord.localcluster import LocalCluster
from coord.localcluster.processes import ProcessState
from tests.support.acknowledged_load import AcknowledgedLoad, losses
from tests.support.faults import (
    acknowledged_more,
    endpoints,
    lead,
    leader_and_followers,
    own_node,
    own_process,
    running_cluster,
    wait_for_log,
)
from tests.support.replication import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


@dataclass
class NewNode:
    """A node outside of LocalCluster's own."""

    node_id: str
    address: str
    peer_address: str
    process: subprocess.Popen[bytes]
    log: Path


async def new_node(stack: ExitStack, cluster: LocalCluster, node_id: str) -> NewNode:
    """Started with the members as they are now, and itself."""
    client_port, peer_port = free_ports(2)
    address, peer_address = f"127.0.0.1:{client_port}", f"127.0.0.1:{peer_port}"
    async with Client(endpoints(cluster), name="look") as client:
        status = await client.cluster.status()
    members = [f"{m.id}={m.peer_address},{m.address}" for m in status.members]
    members.append(f"{node_id}={peer_address},{address}")
    lines = [
        f'cluster_id = "{status.cluster_id}"',
        f'node_id = "{node_id}"',
        f"members = {json.dumps(members)}",
    ]
    folder = cluster.directory.parent / node_id
    process, log = stack.enter_context(own_node(folder, lines))
    return NewNode(node_id, address, peer_address, process, log)


def coord(cluster: LocalCluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person runs it."""
    command = [sys.executable, "-m", "coord.cli", "--endpoints", endpoints(cluster), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


async def voters(client: Client) -> list[str]:
    return [member.id for member in await client.cluster.members() if not member.learner]


async def same_digests(client: Client, count: int) -> None:
    """All members come to one state."""
    for _ in range(100):
        digests = await client.cluster.digests()
        same = {(one.applied_index, one.digest) for one in digests if one.error is None}
        if len(same) == 1 and len(digests) == count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"not the same: {digests}")


async def removed(client: Client, node_id: str) -> None:
    """Take a member out. A leader leaves by handing over first, so the call can lose its way."""
    deadline = asyncio.get_running_loop().time() + 60
    while node_id in {member.id for member in await client.cluster.members()}:
        assert asyncio.get_running_loop().time() < deadline, f"{node_id} is still a member"
        with contextlib.suppress(IndefiniteError, NotFoundError):
            await client.cluster.remove_member(node_id)


@pytest.mark.timeout(600)
async def test_a_cluster_grows_survives_two_losses_and_gives_up_its_leader(
    cluster: LocalCluster,
) -> None:
    load = AcknowledgedLoad(endpoints(cluster))
    load.start()
    client = Client(endpoints(cluster), name="operator", timeout_ms=60_000)
    with ExitStack() as stack:
        async with client:
            await acknowledged_more(load, 20, within_s=90)
            for node_id in ("n4", "n5"):
                node = await new_node(stack, cluster, node_id)
                added = await client.cluster.add_member(node_id, node.address, node.peer_address)
                assert [m.id for m in added if m.learner] == [node_id]
                again = await client.cluster.add_member(node_id, node.address, node.peer_address)
                assert again == added
                await client.cluster.promote_member(node_id)
                await acknowledged_more(load, 20, within_s=90)
            assert await voters(client) == ["n1", "n2", "n3", "n4", "n5"]

            leader, (other, last) = await asyncio.to_thread(leader_and_followers, cluster)
            await asyncio.to_thread(cluster.kill, leader)
            await asyncio.to_thread(cluster.kill, other)
            await acknowledged_more(
                load, 20, within_s=90
            )  # by n4, n5 and the last of the first three
            await asyncio.to_thread(cluster.start, other)
            await asyncio.to_thread(cluster.start, leader)

            await lead(cluster, last)
            await removed(client, last)
            await eventually(lambda: not alive(cluster, last), 60, "it has stopped")
            assert await voters(client) == sorted({leader, other, "n4", "n5"})
            await acknowledged_more(load, 20, within_s=90)
            await load.stop()
            assert await losses(endpoints(cluster), load.memory) == []
            await same_digests(client, 4)


def alive(cluster: LocalCluster, node_id: str) -> bool:
    states = {node.node_id: node.state for node in cluster.status()}
    return states[node_id] is ProcessState.RUNNING


@pytest.mark.timeout(180)
async def test_a_dead_node_is_replaced_from_the_command_line(cluster: LocalCluster) -> None:
    async with Client(endpoints(cluster), name="writer") as client:
        for number in range(20):
            await client.kv.put(f"key/{number}", b"value")
    _, (dead, _) = await asyncio.to_thread(leader_and_followers, cluster)
    await asyncio.to_thread(cluster.kill, dead)
    with ExitStack() as stack:
        node = await new_node(stack, cluster, "n4")
        await asyncio.to_thread(wait_for_log, node.log, "replica_does_not_vote_yet")
        places = ("--address", node.address, "--peer-address", node.peer_address)
        done = await asyncio.to_thread(coord, cluster, "member", "replace", dead, "n4", *places)
        assert done.returncode == 0, done.stderr
        listed = await asyncio.to_thread(coord, cluster, "member", "list", "-o", "json")
        members = json.loads(listed.stdout)["members"]
        assert [m["id"] for m in members] == sorted({"n1", "n2", "n3", "n4"} - {dead})
        assert not any(m["learner"] for m in members)
        async with Client(node.address, name="reader") as client:
            found = await client.kv.get("key/7")
            assert found is not None
            await same_digests(client, 3)

        # The dead one comes back, finds that it is no member, and harms nobody.
        with own_process(cluster, dead) as log:
            text = ("peer_refused_us", "node.removed")  # the latter if it comes back at once
            await eventually(lambda: any(word in log.read_text() for word in text), 20, "told")
            assert "role=leader" not in log.read_text()
        async with Client(node.address, name="reader") as client:
            status = await client.cluster.status()
            assert dead not in [member.id for member in status.members]
            await client.kv.put("after", b"1")


@pytest.mark.timeout(120)
async def test_changes_that_are_not_possible_are_refused(cluster: LocalCluster) -> None:
    leader, (dead, _) = await asyncio.to_thread(leader_and_followers, cluster)
    refused = await asyncio.to_thread(coord, cluster, "member", "remove", "n9")
    assert refused.returncode == 1
    said = "error: n9 is not a member; members are n1, n2, n3 (UNKNOWN_MEMBER)"
    assert refused.stderr.strip() == said
    bad = ("--address", "nowhere", "--peer-address", "127.0.0.1:1")
    refused = await asyncio.to_thread(coord, cluster, "member", "add", "n4", *bad)
    assert refused.returncode == 2
    assert "--address must be HOST:PORT" in refused.stderr
    async with Client(endpoints(cluster), name="operator") as client:
        with pytest.raises(NotFoundError):
            await client.cluster.promote_member("n9")
        taken = (await client.cluster.members())[0]
        with pytest.raises(FailedPreconditionError, match="one of these addresses"):
            await client.cluster.add_member("n4", taken.address, "127.0.0.1:1")
        await client.cluster.add_member("n4", "127.0.0.1:1", "127.0.0.1:2")  # runs nowhere
        with pytest.raises(FailedPreconditionError, match="n4 is not up to date"):
            await client.cluster.promote_member("n4", timeout_ms=1_000)
        await asyncio.to_thread(cluster.kill, dead)
        other = next(node for node in cluster.node_ids if node not in (leader, dead))
        log = cluster.log_path(leader)
        await asyncio.to_thread(wait_for_log, log, "peer_disconnected", f"peer_id={dead}")
        with pytest.raises(FailedPreconditionError, match="can not be reached now"):
            await client.cluster.remove_member(other)
        assert len(await voters(client)) == 3
