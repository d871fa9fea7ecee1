"""A local cluster whose nodes are of two builds, and clients that do a bit of everything to it."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coord.client import Client
from coord.client.transport.errors import CoordError
from coord.localcluster import LocalCluster
from coord.localcluster.launch import node_command, node_environment
from tests.support.faults import config_of, endpoints
from tests.support.old_build import Build
from tests.support.waiting import eventually

PAUSE_S = 0.05  # nodes are to start beside this load


@contextmanager
def _starting(build: Build) -> Iterator[None]:
    """Nodes that are started meanwhile run this build."""
    before = {name: os.environ.get(name) for name in build.variables}
    os.environ.update(build.variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class MixedCluster:
    """Wraps a `LocalCluster`. Methods block."""

    def __init__(self, cluster: LocalCluster, build: Build) -> None:
        self.cluster = cluster
        self.builds: dict[str, Build] = {}
        with _starting(build):
            cluster.up()
        self._note(*cluster.node_ids, build=build)

    def start(self, node_id: str, build: Build) -> None:
        """Of this build from now on; with the data that is there."""
        with _starting(build):
            self.cluster.start(node_id)
        self._note(node_id, build=build)

    def kill(self, node_id: str) -> None:
        """And start it again, as it was."""
        self.cluster.kill(node_id)
        self.start(node_id, self.builds[node_id])

    def change(self, node_id: str, build: Build) -> None:
        """Stop it in order and start it with this build."""
        self.cluster.stop(node_id)
        self.start(node_id, build)

    def nodes_of(self, build: Build) -> list[str]:
        return [node_id for node_id, known in self.builds.items() if known == build]

    @contextmanager
    def alone(self, node_id: str, build: Build) -> Iterator[Path]:
        """A node that is down, as a process that nobody waits for; gives its log."""
        log = self.cluster.directory / node_id / "alone.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                node_command(config_of(self.cluster, node_id)),
                stdout=output,
                stderr=output,
                env=node_environment({**os.environ, **build.variables}),
            )
            try:
                yield log
            finally:
                process.terminate()
                process.wait(30)

    def _note(self, *node_ids: str, build: Build) -> None:
        for node_id in node_ids:
            environment = Path(f"/proc/{self.cluster.pids[node_id]}/environ").read_bytes()
            assert f"PYTHONPATH={build.root}".encode() in environment.split(b"\0")
            self.builds[node_id] = build


class Churn:
    """Until `stop`: locks that are waited for, leases that run out, dead letters and redrives,
    transactions, deletes and compactions. What comes of it is for the digests to compare."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._endpoints = endpoints(cluster)
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.rounds = 0

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._forever(number)) for number in range(2)]

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def goes_on(self, rounds: int = 3) -> None:
        """Return when so many more rounds were made."""
        wanted = self.rounds + rounds
        await eventually(lambda: self.rounds >= wanted, 60, f"{rounds} more rounds of churn")

    async def _forever(self, number: int) -> None:
        for turn in itertools.count():
            # A client of its own each time: what it holds at the end goes with its session.
            async with Client(self._endpoints, name=f"churn-{number}") as client:
                try:
                    await self._round(client, number, turn)
                    self.rounds += 1
                except CoordError:
                    await asyncio.sleep(0.05)
            if self._stopping.is_set():
                return
            await asyncio.sleep(PAUSE_S)

    async def _round(self, client: Client, number: int, turn: int) -> None:
        await client.tasks.submit(
            "churn", b"x", max_attempts=2, idempotency_key=f"{number}:{turn % 5}", priority=turn % 3
        )
        claimed = await client.tasks.claim(["churn"], max_tasks=3, lease_ttl_ms=200)
        for task in claimed[:1]:
            await client.tasks.fail(task, "on purpose", retryable=bool(turn % 2), retry_after_ms=50)
        await client.tasks.redrive("churn", limit=2)
        await client.locks.acquire("shared", wait_ms=50, ttl_ms=300)
        key = f"churn/{turn % 7}"
        revision = await client.kv.put(key, str(turn))
        await client.kv.compare_and_set(key, revision, b"swapped")
        await client.kv.delete_prefix(f"churn/{(turn + 3) % 7}")
        if turn % 10 == 9:
            await client.kv.compact(revision)
