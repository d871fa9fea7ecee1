"""Copies of a data directory: who comes as a run that cannot be is refused and told so."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgpack
import pytest
import structlog
import uvloop

from chaos.sim.disk import SimDisk
from chaos.sim.machine import LogMachine
from coord.journal import (
    MAX_OWN_RUNS,
    DataDirectory,
    DataDirectoryError,
    DiskFullError,
    OsFileSystem,
    PeerRun,
    PeerRunsFile,
)
from coord.journal.peer_runs import MAX_PEERS
from coord.replication.boot import open_storage
from coord.replication.errors import CopiedDirectoryError
from coord.replication.messages import StampGuard
from coord.replication.peers.handshake import (
    MAX_HANDSHAKE_BYTES,
    Hello,
    Refusal,
    RefusedError,
    decode_hello,
    encode_hello,
)
from coord.replication.peers.plausibility import EARLIEST_WALL_MS, MAX_AHEAD
from coord.replication.peers.runs import MAX_REMEMBERED, OwnRun, PeerRuns
from coord.replication.peers.runs_keeper import RunsKeeper
from coord.replication.replicator import PySyncObjReplicator
from coord.replication.settings import ReplicationConfig
from tests.support.replication import RealCluster, free_ports
from tests.support.transports import Node, RawPeer, connect, frame, linked, old_hello
from tests.support.waiting import eventually

OWN = OwnRun(7)


def hello(
    boot_id: int,
    run_id: str = "r",
    *,
    is_new: bool = False,
    node_id: str = "a",
    runs: tuple[PeerRun, ...] = (),
) -> Hello:
    return Hello("c", node_id, "b", boot_id, run_id=run_id, is_new=is_new, runs=runs)


def refusal(runs: PeerRuns, one: Hello) -> Refusal:
    with pytest.raises(RefusedError) as error:
        runs.take(one, OWN)
    return Refusal(error.value.refusal)


def test_runs_that_follow_each_other_are_taken() -> None:
    runs = PeerRuns({"a": (5, "r5")})
    for number in (5, 6, 6, 9):
        runs.take(hello(number, f"r{number}"), OWN)
    assert runs.known == {"a": (9, "r9")}


def test_an_older_run_and_a_second_one_of_a_number_are_refused() -> None:
    runs = PeerRuns({"a": (5, "r5")})
    assert refusal(runs, hello(4, "r4")) is Refusal.OLDER_COPY
    assert refusal(runs, hello(5, "another")) is Refusal.CLONE
    assert runs.known == {"a": (5, "r5")}
    runs.take(hello(5, "r5"), OWN)


def test_an_older_copy_that_was_started_several_times_is_refused() -> None:
    """Its own runs are counted, so it comes as a later one than the last that was seen."""
    runs = PeerRuns({"a": (5, "r5")})
    history = ((4, "r4"), (5, "another"), (6, "r6"))
    assert refusal(runs, hello(6, "r6", runs=history)) is Refusal.OLDER_COPY
    assert runs.known == {"a": (5, "r5")}
    runs.take(hello(6, "r6", runs=((4, "r4"), (5, "r5"), (6, "r6"))), OWN)
    runs.take(hello(9, "r9", runs=((8, "r8"), (9, "r9"))), OWN)  # it was not seen in between
    runs.take(hello(1, "new", is_new=True, runs=((9, "other"),)), OWN)


def test_a_directory_remembers_its_last_runs() -> None:
    disk = SimDisk()
    for number in range(MAX_OWN_RUNS + 5):
        storage = open_storage(
            "/node", "c", "n1", wall_ms=0, incarnation=1, fs=disk, run_id=f"r{number}"
        )
        storage.close()
    own = storage.peer_runs.own
    assert own[-1] == (storage.boot.boot_id, f"r{MAX_OWN_RUNS + 4}")
    assert len(own) == MAX_OWN_RUNS
    assert [number for number, _ in own] == list(range(own[0][0], own[0][0] + MAX_OWN_RUNS))
    longest = Hello("c" * 256, "n" * 256, "n" * 256, 2**62, run_id="x" * 64, runs=own)
    assert len(encode_hello(longest)) < MAX_HANDSHAKE_BYTES
    assert decode_hello(memoryview(encode_hello(longest))) == longest


def test_a_new_directory_counts_from_anywhere() -> None:
    """A clock that is behind makes it count from too low; it is told when it asks."""
    runs = PeerRuns({"a": (5, "r5")})
    runs.take(hello(3, "new", is_new=True), OWN)
    assert runs.known == {"a": (5, "r5")}
    runs.take(hello(6, "new", is_new=True), OWN)
    assert runs.known == {"a": (6, "new")}
    runs.take(hello(6, "newer", is_new=True), OWN)
    runs.take(hello(6, "newer"), OWN)


def test_builds_that_draw_no_id_are_not_judged() -> None:
    runs = PeerRuns({"a": (5, "r5")})
    runs.take(hello(4, ""), OWN)
    runs.take(hello(50, ""), OWN)
    assert runs.known == {"a": (5, "r5")}


@pytest.mark.parametrize("run_id", ["", "r"])
def test_a_run_beyond_reason_is_refused_and_not_remembered(run_id: str) -> None:
    runs = PeerRuns()
    limit = EARLIEST_WALL_MS + MAX_AHEAD
    assert refusal(runs, hello(limit + 1, run_id)) is Refusal.BEYOND_REASON
    assert refusal(runs, hello(2**62, run_id, is_new=True)) is Refusal.BEYOND_REASON
    assert runs.known == {}
    runs.take(hello(limit, run_id), OWN)
    runs.take(hello(1, "r", node_id="d"), OWN)


def test_what_is_remembered_is_bounded() -> None:
    told: list[int] = []
    runs = PeerRuns(changed=lambda: told.append(1))
    for number in range(MAX_REMEMBERED + 10):
        runs.take(hello(1, node_id=f"n{number}"), OWN)
        runs.take(hello(1, node_id="always"), OWN)
        runs.take(hello(1, node_id=f"n{number}"), OWN)
    assert len(runs.known) == MAX_REMEMBERED <= MAX_PEERS
    assert f"n{MAX_REMEMBERED + 9}" in runs.known
    assert len(told) <= 2 * MAX_REMEMBERED + 20


def test_a_stamp_guard_knows_the_runs_of_before() -> None:
    """So that a node that lost its data is told from where to count, also by one that restarted."""
    guard = StampGuard({"n2": 9})
    assert guard.boot_of("n2") == 9
    assert not guard.is_fresh("n2", {"boot": 8, "number": 100})
    assert guard.is_fresh("n2", {"boot": 9, "number": 0})


# The file


def test_the_file_keeps_what_was_stored() -> None:
    disk = SimDisk()
    disk.mkdir("/d")
    file = PeerRunsFile(disk, "/d/peers")
    assert file.load() == {}
    runs = {f"n{number}": (number, f"r{number}") for number in range(MAX_PEERS)}
    file.own = ((1, "r1"), (2, "r2"))
    file.store(runs)
    disk.crash(random.Random(1))
    again = PeerRunsFile(disk, "/d/peers")
    assert again.load() == runs
    assert again.damage == ""
    assert again.own == ((1, "r1"), (2, "r2"))
    with pytest.raises(ValueError, match="at most"):
        file.store({**runs, "one more": (1, "r")})
    assert again.load() == runs


@pytest.mark.parametrize("bit", range(0, 600, 7))
def test_a_damaged_file_is_begun_anew(bit: int) -> None:
    disk = SimDisk()
    disk.mkdir("/d")
    file = PeerRunsFile(disk, "/d/peers")
    file.store({"n1": (3, "abcdefgh"), "n2": (2**40, "ijklmnop")})
    size = disk.size("/d/peers")
    disk.flip_bit("/d/peers", bit % (size * 8))
    assert file.load() == {}
    assert file.damage
    file.store({"n1": (4, "x")})
    assert PeerRunsFile(disk, "/d/peers").load() == {"n1": (4, "x")}


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 100, b"COORDPRS" * 20_000])
def test_what_is_no_such_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "peers"
    path.write_bytes(content)
    file = PeerRunsFile(OsFileSystem(), str(path))
    assert file.load() == {}
    assert file.damage


async def test_what_is_learnt_is_stored_beside_the_loop_and_tried_again() -> None:
    known: dict[str, PeerRun] = {}
    stored: list[Mapping[str, PeerRun]] = []
    full = [True]

    def store(runs: Mapping[str, PeerRun]) -> None:
        if full[0]:
            raise DiskFullError("peers")
        stored.append(runs)

    with structlog.testing.capture_logs() as entries:
        log = structlog.get_logger("test")
        keeper = RunsKeeper(store, lambda: dict(known), log)
        known["n2"] = (1, "r")
        keeper.changed()
        await eventually(lambda: any(e["event"] == "peer_runs_not_stored" for e in entries))
        full[0] = False
        known["n2"] = (2, "r")
        await keeper.stop()
    assert stored == [{"n2": (2, "r")}]
    stored.clear()
    keeper = RunsKeeper(store, lambda: dict(known), log)
    known["n3"] = (1, "r")
    keeper.changed()
    known["n4"] = (1, "r")
    keeper.changed()
    await eventually(lambda: bool(stored) and "n4" in stored[-1])
    assert len(stored) <= 2
    await keeper.stop()


# Between nodes


async def test_a_peer_refuses_an_older_copy_and_tells_it_why() -> None:
    runs = PeerRuns({"a": (9, "nine")})
    with structlog.testing.capture_logs() as entries:
        async with (
            Node("a", boot_id=8, run_id="eight") as a,
            Node("b", runs=runs) as b,
        ):
            connect(a, b)
            await eventually(lambda: a.copied != [])
            assert not a.transport.connected("b")
    peer_id, what = a.copied[0]
    assert peer_id == "b"
    assert "was in run 9 already and comes as run 8" in what
    (line,) = [e for e in entries if e["event"] == "peer_refused" and e["node_id"] == "b"]
    assert "older copy" in line["reason"]


async def test_of_two_processes_in_one_run_the_second_is_refused() -> None:
    async with (
        Node("a", boot_id=3, run_id="first") as a,
        Node("a", boot_id=3, run_id="second") as clone,
        Node("b", run_id="b") as b,
    ):
        await linked(a, b)
        clone.transport.set_peers({"b": b.address})
        await eventually(lambda: clone.copied != [])
        assert "two copies of its data directory were started" in clone.copied[0][1]
        assert a.copied == []
        assert a.transport.connected("b")


async def test_a_build_without_run_ids_is_taken() -> None:
    async with Node("b", runs=PeerRuns({"a": (9, "nine")})) as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        raw = await RawPeer.dial(b.port)
        raw.writer.write(old_hello("a", "b", boot_id=3))
        assert msgpack.unpackb(await raw.answer())["refused"] is None
        await raw.close()


@pytest.mark.parametrize(
    "change",
    [
        {"run": 5},
        {"run": "x" * 65},
        {"new": 1},
        {"boot": -1},
        {"runs": 1},
        {"runs": [[1]]},
        {"runs": [["1", "r"]]},
        {"runs": [[1, "r" * 65]]},
    ],
)
async def test_malformed_runs_are_refused(change: dict[str, object]) -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        raw = await RawPeer.dial(b.port)
        values = msgpack.unpackb(old_hello("a", "b")[8:])
        raw.writer.write(frame({**values, **change}))
        assert msgpack.unpackb(await raw.answer())["refused"] == Refusal.BAD_HANDSHAKE
        await raw.close()


# Whole nodes


async def learnt(cluster: RealCluster, node_id: str, tmp_path: Path, run: int) -> None:
    """Wait until the others have noted a run of the node durably."""

    def noted(peer: str) -> bool:
        file = PeerRunsFile(OsFileSystem(), str(tmp_path / peer / "peers"))
        return file.load().get(node_id, (0, ""))[0] == run

    others = [peer for peer in cluster.ids if peer != node_id]
    await eventually(lambda: all(map(noted, others)), what="the run is remembered")


def own_run(cluster: RealCluster, node_id: str) -> OwnRun:
    replica = cluster.replicators[node_id]._driver.replica
    assert replica is not None
    return replica.own_run


def run_of(cluster: RealCluster, node_id: str) -> int:
    return own_run(cluster, node_id).boot_id


def on_uvloop(run: Coroutine[Any, Any, None]) -> None:
    """As nodes run. Python 3.11's own loop leaves a connection open, with a warning, that came in
    the moment in which a node stops to listen."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run)


def test_a_node_started_from_an_older_copy_stops_itself(tmp_path: Path) -> None:
    on_uvloop(an_older_copy(tmp_path))


async def an_older_copy(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        await eventually(lambda: not own_run(cluster, "n3").is_new)
        await cluster.stop("n3")
        shutil.copytree(tmp_path / "n3", tmp_path / "copy of n3")
        for _ in range(2):
            await cluster.start("n3")
            run = run_of(cluster, "n3")
            await learnt(cluster, "n3", tmp_path, run)
            await cluster.stop("n3")
        for peer in ("n1", "n2"):  # what they know outlives them
            await cluster.stop(peer)
            await cluster.start(peer)
        shutil.rmtree(tmp_path / "n3")
        shutil.move(tmp_path / "copy of n3", tmp_path / "n3")
        await cluster.start("n3")
        await eventually(lambda: "n3" in cluster.failures, what="it stops")
        error = cluster.failures["n3"]
        assert isinstance(error, CopiedDirectoryError)
        assert "older copy" in str(error)
        assert "move it away and start this node with an empty one" in str(error)
        await cluster.stop("n3")
        for _ in range(3):  # each start is counted, and would pass for a later run at last
            with pytest.raises(DataDirectoryError, match="know a later data directory"):
                await cluster.start("n3")
        shutil.rmtree(tmp_path / "n3")
        cluster.failures.clear()
        await cluster.start("n3")
        await cluster.propose(b"b")
        await cluster.converged()
        assert cluster.failures == {}, "with an empty directory it rejoins"


def test_a_clone_that_runs_beside_the_node_is_noticed(tmp_path: Path) -> None:
    on_uvloop(a_clone(tmp_path))


async def a_clone(tmp_path: Path) -> None:
    async with RealCluster(tmp_path) as cluster:
        await cluster.propose(b"a")
        await eventually(lambda: not own_run(cluster, "n3").is_new)
        await cluster.stop("n3")
        shutil.copytree(tmp_path / "n3", tmp_path / "clone")
        await cluster.start("n3")
        await learnt(cluster, "n3", tmp_path, run_of(cluster, "n3"))
        (port,) = free_ports(1)
        config = ReplicationConfig(
            self_id="n3",
            cluster_id="test",
            members=cluster.founders,
            data_dir=str(tmp_path / "clone"),
            listen_address=f"127.0.0.1:{port}",
        )
        clone = PySyncObjReplicator(config, LogMachine())
        failures: list[BaseException] = []
        clone.on_fatal(failures.append)
        await clone.start()
        try:
            await eventually(lambda: failures != [], what="the clone stops")
        finally:
            await clone.stop()
        assert "two copies of its data directory" in str(failures[0])
        await cluster.propose(b"b")
        await cluster.converged()
        assert cluster.failures == {}, "the node itself goes on"


def test_a_directory_that_was_copied_says_how_it_can_be_used_nevertheless(tmp_path: Path) -> None:
    path = tmp_path / "data"
    directory = DataDirectory.open(str(path), "c", "n1")
    directory.mark_copied("n2 refuses this node." + "x" * 10_000)
    directory.close()
    with pytest.raises(DataDirectoryError, match="n2 refuses this node") as refused:
        DataDirectory.open(str(path), "c", "n1")
    assert f"remove {path}/copied and start the node again" in str(refused.value)
    (path / "copied").unlink()
    DataDirectory.open(str(path), "c", "n1").close()
