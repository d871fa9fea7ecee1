"""The demo: a fleet of agents analyses the standard library while the cluster loses its leader.

A local cluster and agents run as processes of their own. Half-way the leader and an agent get
SIGKILL; the leader is started again. In the end the verdict is computed from what the cluster has
on record, and the report is compared with one computed here, in a single process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coord.client import Client
from coord.client.transport.errors import CoordError
from coord.localcluster import LocalCluster, LocalClusterError, free_base_port
from examples.stdlib_report.corpus import Module, library_folder, list_modules
from examples.stdlib_report.driver import STAGES, Driver, StageError
from examples.stdlib_report.single_process import compute_report
from scripts.lib.demo_fleet import Fleet
from scripts.lib.demo_probe import WriteProbe, longest_gap_ms
from scripts.lib.demo_screen import Screen
from scripts.lib.demo_verdict import Verdict, compare_digests, count_tasks

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 180
POLL_SECONDS = 0.1
STOP_GRACE_MS = 5_000


class DemoError(Exception):
    """The demo could not be carried out; the text says why."""


@dataclass(slots=True)
class Kill:
    """What was killed, when, and who took over."""

    node: str
    agent: str
    at: float
    new_leader: str = ""


class Demo:
    """One run, from the running cluster to the verdict."""

    def __init__(self, cluster: LocalCluster, fleet: Fleet, screen: Screen, report: Path) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._screen = screen
        self._report = report
        self._endpoints = ",".join(cluster.endpoints)
        self._half_done = asyncio.Event()
        self._kill: Kill | None = None

    async def run(self, modules: Sequence[Module], *, kill: bool) -> Verdict:
        """Does the work, kills half-way if asked to, and judges."""
        begun = time.monotonic()
        async with (
            self._client("demo driver") as driving,
            self._client("demo observer") as observing,
            self._client("demo probe") as probing,
        ):
            probe = WriteProbe(probing)
            driver = Driver(driving, "demo", self._screen.begin_stage)
            work = [asyncio.create_task(driver.make_report(modules, self._report))]
            if kill:
                work.append(asyncio.create_task(self._disturb()))
            helpers = [
                asyncio.create_task(probe.run()),
                asyncio.create_task(self._observe(observing, len(modules))),
            ]
            try:
                async with asyncio.timeout(LONGEST_SECONDS):
                    await self._until_done(work, helpers)
            except TimeoutError:
                raise DemoError(f"not done after {LONGEST_SECONDS} s") from None
            finally:
                await _cancel(*work, *helpers)
            ended = time.monotonic()
            await self._show_progress(observing)
            failover_ms = (
                longest_gap_ms(probe.acknowledged, self._kill.at, ended) if self._kill else None
            )
            self._screen.say("done; computing the same report in a single process")
            return await self._judge(observing, modules, failover_ms, round((ended - begun) * 1000))

    def _client(self, name: str) -> Client:
        return Client(self._endpoints, name=name)

    async def _until_done(
        self, work: Sequence[asyncio.Task[None]], helpers: Sequence[asyncio.Task[None]]
    ) -> None:
        """Until all work is done; an error anywhere, or no agent left, ends it as well."""
        running = set(work)
        while running:
            done, _ = await asyncio.wait(
                [*running, *helpers], timeout=1.0, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            running -= done
            if not self._fleet.running:
                raise DemoError("no agent is running any more; look at their logs with --keep")

    async def _observe(self, client: Client, modules: int) -> None:
        """Shows the progress, and tells when half the modules are done."""
        while True:
            if await self._show_progress(client) * 2 >= modules:
                self._half_done.set()
            await asyncio.sleep(POLL_SECONDS)

    async def _show_progress(self, client: Client) -> int:
        """Returns how many modules are done; 0 while the cluster does not answer."""
        try:
            queues = await client.queues.list()
        except CoordError:
            return 0
        self._screen.update(
            {queue.queue: queue.completed_total for queue in queues},
            {queue.queue: f"{queue.claimed} running" for queue in queues},
        )
        return sum(queue.completed_total for queue in queues if queue.queue == STAGES[0])

    async def _disturb(self) -> None:
        """Half-way, SIGKILL to the leader and to one agent; the node is started again as soon as
        another one leads, and is waited for."""
        await self._half_done.wait()
        leader = await asyncio.to_thread(self._cluster.leader)
        if leader is None:
            raise DemoError("the cluster has no leader to kill")
        agents = self._fleet.running
        kill = Kill(node=leader, agent=agents[0] if len(agents) > 1 else "", at=time.monotonic())
        self._kill = kill
        self._cluster.kill(leader)
        if kill.agent:
            self._fleet.kill(kill.agent)
        victims = f"the leader {leader}" + (f" and the agent {kill.agent}" if kill.agent else "")
        self._screen.say(f"SIGKILL to {victims}", style="bold red")
        await asyncio.to_thread(self._cluster.wait_ready)
        successor = await asyncio.to_thread(self._cluster.leader)
        kill.new_leader = successor or ""
        self._screen.say(f"{kill.new_leader} leads", style="green")
        await asyncio.to_thread(self._cluster.start, leader)
        self._screen.say(f"{leader} is started again and answers", style="green")

    async def _judge(
        self,
        client: Client,
        modules: Sequence[Module],
        failover_ms: int | None,
        duration_ms: int,
    ) -> Verdict:
        """Asks the cluster for its records and compares."""
        expected = len(modules) + len({module.package for module in modules}) + 1
        tasks = [t for stage in STAGES for t in await client.tasks.list(stage, limit=10_000)]
        counts = count_tasks(expected, tasks, await client.queues.list())
        digests = {d.node_id: (d.applied_index, d.digest) for d in await client.cluster.digests()}
        differing = compare_digests(digests, self._cluster.node_ids)
        reference = await asyncio.to_thread(compute_report, library_folder(), modules)
        matches = self._report.read_text(encoding="utf-8") == reference
        broken = [*counts.broken, *differing]
        if not matches:
            broken.append("the report is not the one a single process computes")
        kill = self._kill
        if kill and kill.new_leader in {"", kill.node}:
            broken.append("no other node became leader")
        return Verdict(
            tasks_expected=expected,
            tasks_committed=counts.committed,
            duplicates_committed=counts.duplicates,
            attempts_rerun=counts.rerun,
            failover_ms=failover_ms,
            killed_node=kill.node if kill else "",
            new_leader=kill.new_leader if kill else "",
            killed_agent=kill.agent if kill else "",
            report=str(self._report),
            report_matches=matches,
            digests_equal=not differing,
            duration_ms=duration_ms,
            broken=tuple(broken),
        )


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> int:
    options = parse_arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with Screen() as screen:
            verdict = run_demo(options, screen)
    except (DemoError, LocalClusterError, StageError, CoordError) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted; everything was stopped and removed\n")
        return 130
    screen.verdict(verdict)
    if options.json:
        options.json.write_text(json.dumps(verdict.as_json(), indent=2) + "\n", encoding="utf-8")
    return 0 if verdict.holds else 1


def run_demo(options: argparse.Namespace, screen: Screen) -> Verdict:
    """Starts everything, runs, and leaves nothing behind unless it was asked to."""
    modules = list_modules(library_folder(), options.modules)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.unlink(missing_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="coord-demo-"))
    cluster = LocalCluster(directory / "cluster", options.nodes, free_base_port(options.nodes))
    with cleaned_up(cluster, directory, screen, keep=options.keep):
        screen.say(f"starting a cluster of {options.nodes} nodes")
        cluster.up()
        screen.say(f"{cluster.leader()} leads; starting {options.agents} agents")
        fleet = Fleet(ROOT, directory / "agents", ",".join(cluster.endpoints), STAGES)
        with fleet:
            fleet.start(options.agents)
            demo = Demo(cluster, fleet, screen, options.report.absolute())
            return asyncio.run(demo.run(modules, kill=options.kill))


@contextlib.contextmanager
def cleaned_up(
    cluster: LocalCluster, directory: Path, screen: Screen, *, keep: bool
) -> Iterator[None]:
    """Stops the cluster and removes its directory in the end, also when interrupted."""
    try:
        yield
    except BaseException:
        remove(cluster, directory)
        raise
    if not keep:
        remove(cluster, directory)
        return
    screen.say(f"kept, still running: {directory}")
    screen.say(f"look at it: COORD_ENDPOINTS={','.join(cluster.endpoints)} .venv/bin/coord status")
    screen.say(
        f"stop it:    scripts/cluster down --wipe --dir {cluster.directory} && rm -r {directory}"
    )


def remove(cluster: LocalCluster, directory: Path) -> None:
    """A second Ctrl-C does not stop this, so that nothing stays behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cluster.down(STOP_GRACE_MS)
    shutil.rmtree(directory, ignore_errors=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=between(1, 9), default=3, help="default 3")
    parser.add_argument("--agents", type=between(1, 64), default=4, help="default 4")
    parser.add_argument(
        "--modules", type=between(0, 100_000), default=0, help="so many modules only; 0 = all"
    )
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="kill nothing")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict to FILE")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        default=ROOT / "out" / "stdlib_report.md",
        help="where the report goes (default out/stdlib_report.md)",
    )
    options = parser.parse_args()
    if options.kill and options.nodes < 3:
        parser.error("with fewer than 3 nodes nothing survives the leader; add --no-kill")
    return options


def between(low: int, high: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {low} to {high}, not {value}")
        return value

    return whole_number


if __name__ == "__main__":
    sys.exit(main())
