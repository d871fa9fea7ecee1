"""A local cluster with faults for tests of one's own agents, with blocking calls.

The cluster, its proxies and its faults live on an event loop in a thread of their own, so tests may
be plain functions or coroutines of any loop. For pytest see `chaos.testing`."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from chaos.nemeses import NEMESES
from chaos.nemeses.agents import AGENTS
from chaos.nemeses.base import Nemesis
from chaos.run.schedule import ScheduleError, parse_specs, settings_for, steered
from chaos.testbed.cluster import ClusterUnderTest
from coord.client.sync import Client
from coord.client.sync.loop import BlockingLoop
from coord.client.transport.errors import CoordError
from coord.localcluster.launch import Setting

T = TypeVar("T")
SERVES_WITHIN_MS = 30_000
LACKS = frozenset({AGENTS})  # the agents are the user's


class TestCluster:
    """`nodes` real node processes on this machine. Enter it; afterwards nothing is left of it.

        with TestCluster() as cluster:
            client = Client(cluster.endpoints)
            with cluster.fault("kill:leader"):
                ...

    Every draw comes from `seed`. `settings`: of every node, as in its configuration file."""

    __test__ = False  # no test itself

    def __init__(
        self, nodes: int = 3, *, seed: int = 0, settings: Mapping[str, Setting] | None = None
    ) -> None:
        self._nodes, self._seed = nodes, seed
        every = parse_specs("all", LACKS)
        self._settings = {**settings_for(every), **(settings or {})}
        self._steered = steered(every)
        self._rng = random.Random(seed)
        self._loop: BlockingLoop | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._cluster: ClusterUnderTest | None = None

    @property
    def endpoints(self) -> str:
        """For clients and agents: `host:port,host:port`."""
        return self._under_test.endpoints

    @property
    def node_ids(self) -> list[str]:
        return self._under_test.node_ids

    def leader(self) -> str | None:
        """The node that leads now."""
        return self._run(self._under_test.leader())

    @contextmanager
    def fault(self, spec: str) -> Iterator[str]:
        """A fault as `chaos run --nemesis` names it, for as long as the block: `kill:leader`,
        `partition:halves+delay`. Gives what was done, in words; afterwards it is healed, and the
        cluster serves again. Raises ScheduleError for what is none."""
        nemeses = self._draw(spec)
        begun: list[Nemesis] = []
        words = []
        try:
            for nemesis in nemeses:
                begun.append(nemesis)
                words.append(self._run(nemesis.begin()))
            lasting = self._run(_begin(_last(nemeses)))
            try:
                yield "; ".join(words)
            finally:
                self._run(_end(lasting))
        finally:
            for nemesis in reversed(begun):
                self._run(nemesis.end())
            self.wait_until_it_serves()

    def wait_until_it_serves(self, timeout_ms: int = SERVES_WITHIN_MS) -> None:
        """Return once a write succeeded; raises CoordError if none does in time."""
        deadline = time.monotonic() + timeout_ms / 1_000
        with Client(self.endpoints, name="testbed", use_session=False) as client:
            while True:
                left_ms = int((deadline - time.monotonic()) * 1_000)
                try:
                    client.kv.put("chaos-testbed", b"x", timeout_ms=max(1, left_ms))
                except CoordError:  # of unknown outcome: the leader was just lost
                    if left_ms <= 0:
                        raise
                else:
                    return

    def heal(self) -> None:
        """Undo every fault, whoever made it, and start every node."""
        self._run(self._under_test.heal())

    def log(self, node_id: str) -> str:
        """What the node printed."""
        return self._under_test.log_path(node_id).read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="chaos-")
        self._loop = BlockingLoop()
        self._cluster = ClusterUnderTest(
            Path(self._directory.name),
            self._nodes,
            seed=self._seed,
            settings=self._settings,
            steered=self._steered,
        )
        try:
            self._run(self._cluster.up())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        if self._directory is None or self._loop is None:
            return
        self._run(self._under_test.down())
        self._loop.close()
        self._directory.cleanup()
        self._loop = self._directory = None

    @property
    def _under_test(self) -> ClusterUnderTest:
        assert self._cluster is not None, "enter it first"
        return self._cluster

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None, "enter it first"
        return self._loop.run(work)

    def _draw(self, spec: str) -> list[Nemesis]:
        specs = parse_specs(spec, LACKS)
        if len(specs) > 1:
            raise ScheduleError(f"one fault at a time, not {spec!r}; '+' puts several together")
        made = []
        for name, variant in (part for one in specs for part in one.parts):
            kind = NEMESES[name]
            drawn = self._rng.choice(kind.often or kind.variants)
            rng = random.Random(self._rng.getrandbits(32))
            made.append(kind(self._under_test, variant or drawn, rng))
        return made


async def _last(nemeses: list[Nemesis]) -> None:
    """What happens during the faults, again and again until the block is over."""
    while nemeses:
        await asyncio.gather(*(nemesis.last(nemesis.hold_s[0]) for nemesis in nemeses))


async def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
