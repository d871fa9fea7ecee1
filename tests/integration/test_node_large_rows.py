"""Values and kept replies as large as they may be: a log that the first version could neither
shorten nor live with is opened, replaced by a snapshot, and sent to a new member."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from coord.codec.envelope import EnvelopeItem, encode_envelope
from coord.codec.kinds import CommandKind as K
from coord.core.base.limits import LIMITS
from coord.journal import Admission, OsFileSystem, SnapshotStore, Standing
from coord.node.config import load_config
from coord.node.node import Node
from coord.pb import cluster_pb2, session_pb2
from coord.pb import etcd_rpc_pb2 as etcd
from coord.replication.boot import open_storage
from coord.replication.entry_kinds import NO_OP, REGULAR
from coord.replication.settings import ReplicaSettings
from coord.replication.storage.writes import AppendEntry, StoreAdmission, StoreVote, WriteOp
from tests.support.core_rows import read_rows
from tests.support.rpc import Stubs, free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(100)
KEYS = 70  # of 64, the first version made one chunk, too large for its own store
KEPT = 3  # replies that are kept; each holds the same 7 MiB
MEBIBYTE = 1024 * 1024


def item(kind: K, message: Any, sequence: int = 0) -> EnvelopeItem:
    session_id = 1 if sequence else 0
    return EnvelopeItem(int(kind), "", session_id, sequence, 0, message.SerializeToString())


def requests() -> Iterator[EnvelopeItem]:
    yield item(K.OPEN_SESSION, session_pb2.OpenSessionRequest(ttl_ms=86_400_000, nonce=b"n"))
    for n in range(KEYS):
        value = b"%07d" % n + bytes(LIMITS.max_value_bytes - 7)
        yield item(K.KV_PUT, etcd.PutRequest(key=b"key%02d" % n, value=value))
    some = etcd.RequestOp(request_range=etcd.RangeRequest(key=b"key00", range_end=b"key07"))
    for sequence in range(1, KEPT + 1):
        yield item(K.KV_TXN, etcd.TxnRequest(success=[some]), sequence)


def old_directory(path: Path) -> None:
    """What the first version left behind: all of it in the log, and no snapshot."""
    storage = open_storage(str(path), "large", "n1", wall_ms=1, incarnation=7, fs=OsFileSystem())
    operations: list[WriteOp] = [
        StoreAdmission(Admission(7, Standing.VOTES, (("n1", 7),))),
        StoreVote(1, "n1"),
        AppendEntry((NO_OP, 1, 0)),
        AppendEntry((NO_OP, 2, 1)),
    ]
    for index, request in enumerate(requests(), 3):
        entry = REGULAR + encode_envelope(index, index, [request])
        operations.append(AppendEntry((entry, index, 1)))
    storage.writer.carry_out(deque(enumerate(operations, 1)))
    storage.writer.sync()
    storage.close()


async def serve(
    stack: AsyncExitStack, path: Path, node_id: str, members: str, **settings: Any
) -> Node:
    config = load_config(
        {
            "cluster_id": "large",
            "node_id": node_id,
            "members": members,
            "data_dir": str(path),
            "snapshot_bytes": 16 * MEBIBYTE,
            "shutdown_grace_ms": 500,
            **settings,
        }
    )
    node = Node(config)
    await node.start()
    stack.push_async_callback(node.stop)
    return node


def address(node_id: str) -> tuple[str, str, str]:
    peer, client = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    return f"{node_id}={peer},{client}", peer, client


async def test_a_log_of_large_values_becomes_a_snapshot_that_others_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One piece a tick is sent, so larger ones take less time.
    quick = partial(ReplicaSettings, snapshot_chunk_bytes=4 * MEBIBYTE)
    monkeypatch.setattr("coord.node.node.ReplicaSettings", quick)
    old_directory(tmp_path / "n1")
    founder, _, client = address("n1")
    async with AsyncExitStack() as stack:
        node = await serve(stack, tmp_path / "n1", "n1", founder)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(client))
        stubs = Stubs(channel)
        replicator = node.server.replicator
        await eventually(lambda: replicator.status().snapshot_index > KEYS, 60)
        assert replicator.status().alarms == ()
        own = (await stubs.cluster.Status(cluster_pb2.StatusRequest())).members[0]
        assert list(own.alarms) == []
        assert len(node.server.state_machine.state.replies) == KEPT

        store = SnapshotStore(OsFileSystem(), str(tmp_path / "n1" / "snapshots"))
        latest = store.latest()
        assert latest is not None
        sizes = [len(chunk) for chunk in store.read_chunks(latest)]
        assert sum(sizes) > (KEYS + 7 * KEPT) * MEBIBYTE
        assert max(sizes) < 2 * MEBIBYTE

        added, peer, other = address("n2")
        await stubs.cluster.AddMember(
            cluster_pb2.AddMemberRequest(id="n2", address=other, peer_address=peer)
        )
        copy = await serve(stack, tmp_path / "n2", "n2", f"{founder};{added}")
        await eventually(lambda: copy.server.state_machine.state.revision > KEYS, 60)
        assert copy.server.replicator.status().snapshot_index == latest.index
        machine, other_machine = (
            node.server.state_machine.machine,
            copy.server.state_machine.machine,
        )
        await eventually(lambda: read_rows(other_machine) == read_rows(machine), 20)

    async with AsyncExitStack() as stack:
        node = await asyncio.wait_for(serve(stack, tmp_path / "n1", "n1", founder), 60)
        assert len(node.server.state_machine.state.replies) == KEPT


async def test_a_node_whose_snapshots_fail_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OverflowError("a number has no room")

    founder, _, client = address("n1")
    async with AsyncExitStack() as stack:
        with monkeypatch.context() as patched:
            patched.setattr("coord.runtime.state_machine.SnapshotEncoder", fail)
            node = await serve(stack, tmp_path / "n1", "n1", founder, snapshot_entries=100)
            stubs = Stubs(await stack.enter_async_context(grpc.aio.insecure_channel(client)))
            await eventually(lambda: node.server.leadership.is_leader)

            async def alarms() -> list[str]:
                status = await stubs.cluster.Status(cluster_pb2.StatusRequest())
                return list(status.members[0].alarms)

            for n in range(110):
                await stubs.kv.Put(etcd.PutRequest(key=b"k%d" % n))
            replicator = node.server.replicator
            await eventually(lambda: replicator.status().alarms)
            assert await alarms() == ["SNAPSHOT_FAILED"]
            await stubs.kv.Put(etcd.PutRequest(key=b"it goes on"))
            assert replicator.status().snapshot_index == 0
        await eventually(lambda: not replicator.status().alarms)
        assert await alarms() == []
        assert replicator.status().snapshot_index > 100
