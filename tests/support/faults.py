"""Hurting the nodes of a local cluster, and looking at what they say and agree on afterwards."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from coord.client import Client
from coord.client.transport.errors import CoordError
from coord.localcluster import LocalCluster
from coord.localcluster.launch import node_command, node_environment
from coord.localcluster.ports import free_base_port
from tests.support.acknowledged_load import AcknowledgedLoad
from tests.support.waiting import eventually


@contextmanager
def running_cluster(directory: Path, **settings: str | int | bool) -> Iterator[LocalCluster]:
    """Three nodes; none is left afterwards."""
    cluster = LocalCluster(directory, nodes=3, base_port=free_base_port(3), settings=settings)
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.down(grace_ms=3_000, wipe=True)


def endpoints(cluster: LocalCluster) -> str:
    return ",".join(cluster.endpoints)


def address_of(cluster: LocalCluster, node_id: str) -> str:
    """The node's address for clients."""
    return cluster.endpoints[cluster.node_ids.index(node_id)]


def leader_and_followers(cluster: LocalCluster) -> tuple[str, list[str]]:
    """Who leads, once somebody does. Blocks."""
    deadline = time.monotonic() + 15
    while (leader := cluster.leader()) is None:
        assert time.monotonic() < deadline, "nobody leads"
    return leader, [node_id for node_id in cluster.node_ids if node_id != leader]


async def lead(cluster: LocalCluster, node_id: str) -> None:
    """Have this node lead, however often it takes."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 60
    async with Client(endpoints(cluster), name="mover") as client:
        while (await client.cluster.status()).leader != node_id:
            assert loop.time() < deadline, f"{node_id} does not take over"
            try:
                await client.cluster.transfer_leader(node_id)
            except CoordError:
                await asyncio.sleep(0.05)


async def equal_digests(cluster: LocalCluster, within_s: float = 20.0) -> None:
    """Return once all nodes stand at one applied index, with equal digests. AssertionError if they
    differ there, or do not get there in time."""
    deadline = asyncio.get_running_loop().time() + within_s
    async with Client(endpoints(cluster), name="digests") as client:
        while True:
            digests = await client.cluster.digests()
            level = len({d.applied_index for d in digests}) == 1
            if level and len(digests) == len(cluster.node_ids):
                by_node = {d.node_id: d.digest for d in digests}
                assert len(set(by_node.values())) == 1, f"states differ: {by_node}"
                return
            assert asyncio.get_running_loop().time() < deadline, f"not level: {digests}"
            await asyncio.sleep(0.05)


async def acknowledged_more(load: AcknowledgedLoad, count: int, within_s: float = 30.0) -> None:
    """Return when `count` more submits and completions were acknowledged."""
    memory = load.memory
    submitted, completed = len(memory.submitted) + count, len(memory.completed) + count
    await eventually(
        lambda: len(memory.submitted) >= submitted and len(memory.completed) >= completed,
        within_s,
        f"{count} more acknowledged tasks",
    )


def wait_for_log(path: Path, *words: str, within_s: float = 30.0) -> str:
    """The first line of a node's log that holds all `words`, once there is one. Blocks."""
    deadline = time.monotonic() + within_s
    while True:
        text = path.read_text(errors="replace") if path.exists() else ""
        for line in text.splitlines():
            if all(word in line for word in words):
                return line
        assert time.monotonic() < deadline, f"no line with {words} in {path}:\n{text[-3000:]}"
        time.sleep(0.05)


def config_of(cluster: LocalCluster, node_id: str) -> Path:
    return cluster.directory / node_id / "node.toml"


def serve_refused(config: Path, environment: Mapping[str, str] | None = None) -> str:
    """Start a node that must refuse to start; its one line of complaint. AssertionError if it
    starts, ends well, or says more than that line."""
    ended = subprocess.run(
        node_command(config),
        env=node_environment(environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return complaint(ended.returncode, ended.stderr, ended.stdout)


def complaint(code: int, stderr: str, stdout: str = "", *, expected_code: int = 1) -> str:
    """The line on standard error of a process that ended as it should."""
    assert code == expected_code, f"exit code {code}\n{stdout}{stderr}"
    assert "Traceback" not in stderr + stdout, stdout + stderr
    lines = stderr.splitlines()
    assert len(lines) == 1, f"not one line of complaint: {lines}"
    return lines[0]


@contextmanager
def rogue_node(folder: Path, lines: Sequence[str]) -> Iterator[Path]:
    """A node of its own, outside of any LocalCluster; gives its log, kills it afterwards."""
    with own_node(folder, lines) as (_, log):
        yield log


@contextmanager
def own_node(folder: Path, lines: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """As `rogue_node`; gives its process as well."""
    folder.mkdir(parents=True)
    config, log = folder / "node.toml", folder / "node.log"
    config.write_text("\n".join([f'data_dir = "{folder / "data"}"', *lines]) + "\n")
    with log.open("wb") as output:
        process = subprocess.Popen(
            node_command(config), stdout=output, stderr=output, env=node_environment({})
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()


@contextmanager
def own_process(cluster: LocalCluster, node_id: str) -> Iterator[Path]:
    """A node started beside `LocalCluster`, which would wait for a leader; gives its log."""
    log = cluster.directory / node_id / "own.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            node_command(config_of(cluster, node_id)),
            stdout=output,
            stderr=output,
            env=node_environment({}),
        )
        try:
            yield log
        finally:
            process.terminate()
            process.wait(30)


def used(segment: Path) -> bytes:
    """What is written of a journal's segment, without the room that is reserved behind it."""
    return segment.read_bytes().rstrip(b"\0")


def give_back_room(data_directory: Path) -> None:
    """Leave a node that is down nothing to write to on a disk that is about to be full."""
    for segment in data_directory.glob("journal/*.wal"):
        segment.write_bytes(used(segment))


class SmallDisk:
    """A file system of its own that can be filled to the last byte. `mount` needs root."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def mount(self, megabytes: int) -> str:
        """Why it could not be mounted; empty if it was."""
        self.path.mkdir(parents=True, exist_ok=True)
        options = f"size={megabytes}m,mode=700"
        tool = shutil.which("mount")
        if tool is None:
            return "there is no mount command"
        ended = subprocess.run(
            [tool, "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.stderr.strip() if ended.returncode else ""

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True)

    def fill(self) -> None:
        """Leave no room at all."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (65_536, 4_096, 1):
                try:
                    while file.write(b"\1" * size):
                        pass
                except OSError:
                    continue

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)
