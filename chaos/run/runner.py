"""One run: a cluster comes up, workloads and faults go over it, everything is healed, clients look
at what is left, and checkers judge. Nothing stays behind, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from chaos.about import about_now
from chaos.histories.history import HistoryEvent
from chaos.histories.lateness import Lateness, Sleeper
from chaos.histories.recorder import HungCall, Recorder
from chaos.run.faults import Fault, FaultDriver
from chaos.run.probe import Probe
from chaos.run.schedule import Spec, plan, settings_for, steered
from chaos.run.settle import CheckedAfter, settle
from chaos.testbed.cluster import ClusterUnderTest
from chaos.workloads import WORKLOADS
from chaos.workloads.base import Surroundings, WorkloadOptions
from coord.client import Client
from coord.localcluster.launch import Setting

ROLES_EVERY_S = 1.0
DRAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is. `quiet_s`: between faults, at least and at most; unless one is to begin
    `every_s` seconds. `min_available`: the share of windows with writes that is promised."""

    nodes: int
    workloads: tuple[str, ...]
    nemesis: str
    specs: tuple[Spec, ...]
    duration_s: float
    seed: int
    out: Path
    workload: WorkloadOptions = field(default_factory=WorkloadOptions)
    quiet_s: tuple[float, float] = (1.5, 4.0)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    network: str = "proxy"
    every_s: float = 0.0
    min_available: float = 0.0


@dataclass(slots=True)
class RunRecord:
    """Everything a run leaves for judging and reporting. Nanoseconds of the recorder's clock."""

    options: RunOptions
    events: list[HistoryEvent]
    faults: list[Fault]
    probe: Probe
    hung: list[HungCall]
    roles: list[tuple[int, dict[str, str]]]
    load_ns: tuple[int, int]  # when clients and faults began and ended
    after: CheckedAfter
    interrupted: bool
    lateness: Lateness = field(default_factory=Lateness)
    about: Mapping[str, str] = field(default_factory=dict)


class Run:
    """`go` does it all; the other attributes are for looking at it meanwhile."""

    def __init__(self, options: RunOptions, on_tick: Callable[[Run], None] | None = None) -> None:
        self.options = options
        self.phase = "starting"
        self.interrupted = asyncio.Event()
        self.probe = Probe()
        self.roles: list[tuple[int, dict[str, str]]] = []
        self.recorder = Recorder()
        self.driver: FaultDriver | None = None
        self.cluster: ClusterUnderTest | None = None
        self.load_ns = (0, 0)
        self._on_tick = on_tick
        self._about: dict[str, str] = {}
        self._workloads = [
            WORKLOADS[name](options.workload, options.seed) for name in options.workloads
        ]

    async def go(self) -> RunRecord:
        """Raises ClusterError or NetworkError when the cluster does not even come up."""
        self._about = await asyncio.to_thread(about_now)
        out = self.options.out
        out.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="chaos-") as directory,
            (out / "history.jsonl").open("w", encoding="utf-8") as history,
        ):
            cluster = ClusterUnderTest(
                Path(directory),
                self.options.nodes,
                seed=self.options.seed,
                settings={**settings_for(self.options.specs), **self.options.settings},
                steered=steered(self.options.specs),
                network=self.options.network,
            )
            self.cluster = cluster
            ticking = asyncio.create_task(self._tick())
            try:
                return await self._on_cluster(cluster, history)
            finally:
                self.phase = "stopping"
                await asyncio.shield(cluster.down())
                ticking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ticking
                cluster.keep_logs(out / "logs")

    async def _on_cluster(self, cluster: ClusterUnderTest, history: TextIO) -> RunRecord:
        await cluster.up()
        cluster.agents.up(sum(one.agents for one in self._workloads), cluster.endpoints)
        recorder = self.recorder = Recorder(history)
        around = Surroundings(self._connect, recorder, asyncio.Event())
        for workload in self._workloads:
            await workload.prepare(around)
        driver = self.driver = FaultDriver(cluster, recorder)
        with Sleeper() as sleeper:
            await self._load(around, driver)
            self.phase = "healing"
            await cluster.heal()
            after = await settle(cluster, self._workloads, around, recorder)
        return RunRecord(
            options=self.options,
            events=recorder.events,
            faults=driver.faults,
            probe=self.probe,
            hung=recorder.hung,
            roles=self.roles,
            load_ns=self.load_ns,
            after=after,
            interrupted=self.interrupted.is_set(),
            lateness=sleeper.so_far,
            about=self._about,
        )

    async def _load(self, around: Surroundings, driver: FaultDriver) -> None:
        """Clients and faults, for the duration or until interrupted."""
        options = self.options
        planned = plan(
            options.specs, options.duration_s, options.seed, options.quiet_s, options.every_s
        )
        self.phase = "load and faults" if planned else "load"
        begun = around.recorder.now_ns()
        self.load_ns = (begun, begun)
        clients = asyncio.ensure_future(self._clients(around))
        faults = asyncio.ensure_future(driver.run(planned))
        interrupted = asyncio.ensure_future(self.interrupted.wait())
        try:
            await asyncio.wait(
                {clients, interrupted}, timeout=options.duration_s, return_when="FIRST_COMPLETED"
            )
            self.phase = "ending the load"
            faults.cancel()
            await asyncio.wait({faults})
            _raise_failure(faults)
            self.load_ns = (begun, around.recorder.now_ns())
            around.stopping.set()
            await asyncio.wait({clients}, timeout=DRAIN_S)
            if clients.done():
                clients.result()
        finally:
            for task in (faults, clients, interrupted):
                task.cancel()
            await asyncio.gather(faults, clients, interrupted, return_exceptions=True)

    async def _clients(self, around: Surroundings) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.probe.run(around))
            for workload in self._workloads:
                group.create_task(workload.run(around))

    def _connect(self, name: str, **options: object) -> Client:
        assert self.cluster is not None
        workload = self.options.workload
        settings: dict[str, object] = {
            "timeout_ms": workload.timeout_ms,
            "session_ttl_ms": workload.session_ttl_ms,
            **options,
        }
        return Client(self.cluster.endpoints, name=name, **settings)  # type: ignore[arg-type]

    async def _tick(self) -> None:
        """Looks at the nodes now and then, and lets others look at the run."""
        assert self.cluster is not None
        while True:
            at_ns = self.recorder.now_ns()
            self.cluster.note_unexpected_ends(at_ns)
            answers = await self.cluster.roles()
            states = {
                node_id: answers[node_id][0] if node_id in answers else str(state)
                for node_id in self.cluster.node_ids
                for state in (self.cluster.state(node_id),)
            }
            if self.load_ns[0] and self.phase != "stopping":
                self.roles.append((at_ns, states))
            if self._on_tick is not None:
                self._on_tick(self)
            await asyncio.sleep(ROLES_EVERY_S / 2)


def _raise_failure(task: asyncio.Future[None]) -> None:
    """What the harness itself did wrong; being cancelled is no failure."""
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
