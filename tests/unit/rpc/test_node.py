"""Start and stop of a node in this process, without durable storage."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import grpc.aio
import pytest
from structlog.testing import capture_logs

from coord.node.config import ServerConfig, load_config
from coord.node.node import EXIT_FATAL, EXIT_OK, CannotStartError, Node
from coord.pb import etcd_rpc_pb2 as etcd
from coord.replication.local import LocalReplicator
from tests.support.rpc import Stubs, free_port
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def logs_of_the_test_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging is set up once per process: not here, where other tests follow."""
    monkeypatch.setattr("coord.node.node.set_up_logs", lambda *_, **__: None)


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> ServerConfig:
    for name in [name for name in os.environ if name.startswith("COORD_")]:
        monkeypatch.delenv(name)
    return load_config(
        {"in_memory": True, "listen": f"127.0.0.1:{free_port()}", "shutdown_grace_ms": 1_000}
    )


async def put_once(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await Stubs(channel).kv.Put(etcd.PutRequest(key=b"a", value=b"1"), timeout=5)
        return int(answer.header.revision)


async def test_starts_serves_and_stops(config: ServerConfig) -> None:
    node = Node(config)
    await node.start()
    assert await put_once(config.listen) > 0
    await node.stop()
    await node.stop()
    again = Node(config)
    await again.start()  # the port is free again
    await again.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_runs_until_it_is_told_to_stop(config: ServerConfig, number: int) -> None:
    node = Node(config)
    running = asyncio.create_task(node.run())
    async with asyncio.timeout(10):
        while True:
            try:
                await put_once(config.listen)
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.01)
    os.kill(os.getpid(), number)
    assert await asyncio.wait_for(running, 10) == EXIT_OK


async def test_a_fatal_replica_ends_the_node(config: ServerConfig) -> None:
    node = Node(config)
    running = asyncio.create_task(node.run())
    await eventually(lambda: node._server is not None and node.server.port > 0)
    replicator = node.server.replicator
    assert isinstance(replicator, LocalReplicator)
    replicator.propose(b"\xc1 no entry").add_done_callback(lambda done: done.exception())
    assert await asyncio.wait_for(running, 10) == EXIT_FATAL


async def test_a_taken_port_is_said(config: ServerConfig) -> None:
    node = Node(config)
    await node.start()
    other = Node(config)
    with pytest.raises(CannotStartError, match="cannot listen on"):
        await other.start()
    await node.stop()


def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    from coord.node.serve import EXIT_CANNOT_START, run

    file = tmp_path / "file"
    file.write_text("")
    config = load_config(
        {"data_dir": str(file / "data"), "listen": f"127.0.0.1:{free_port()}", "node_id": "n1"}
    )
    assert run(config) == EXIT_CANNOT_START


async def test_other_addresses_than_the_members_know_are_told(config: ServerConfig) -> None:
    node = Node(config)
    await node.start()
    try:
        status = node.server.replicator.status()
        with capture_logs() as logs:
            node._tell_if_moved(status)
            assert logs == []
            elsewhere = replace(status.members[0], client_address="10.0.0.9:7400")
            node._tell_if_moved(replace(status, members=(elsewhere,)))
        assert [line["event"] for line in logs] == ["node.moved"]
        assert "10.0.0.9:7400" in logs[0]["why"]
        assert config.advertise in logs[0]["why"]
    finally:
        await node.stop()
