"""`chaos run`: real node processes under load and faults."""

from __future__ import annotations

import asyncio
import json
import random
import shlex
import signal
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from chaos.commands.failing import fail
from chaos.histories.verdicts import EXIT_CODE
from chaos.nemeses import NEMESES
from chaos.nemeses.agents import AGENTS
from chaos.report.html import write_report
from chaos.report.png import write_pngs
from chaos.run import judge, screen
from chaos.run.runner import Run, RunOptions, RunRecord
from chaos.run.schedule import ScheduleError, parse_specs
from chaos.testbed.cluster import NETWORKS, ClusterError
from chaos.testbed.hardware import HardwareError
from chaos.testbed.network import NetworkError
from chaos.workloads import WORKLOADS
from chaos.workloads.base import WorkloadOptions
from coord.localcluster.launch import Setting
from coord.terminal.help import PlainCommand
from coord.terminal.options import decimal, whole
from coord.terminal.text import os_reason

MAX_SEED = 2**31


def register(app: typer.Typer) -> None:
    app.command("run", cls=PlainCommand)(run)


def run(
    nodes: Annotated[int, whole("--nodes", low=1, high=7, help="How many nodes.")] = 3,
    workload: Annotated[
        str,
        typer.Option(metavar="NAME,...", help=f"Of {', '.join(WORKLOADS)}; or all."),
    ] = "register",
    nemesis: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help=f"Of {', '.join(NEMESES)}; or all, or none. ',' stands between alternatives, "
            "'+' between faults at the same time, ':' before a variant (kill:leader).",
        ),
    ] = "kill",
    network: Annotated[
        str,
        typer.Option(
            metavar="proxy|netns",
            help="proxy: loopback and proxies, no privileges; netns: a network namespace for each "
            "node, needs root.",
        ),
    ] = "proxy",
    duration: Annotated[
        float, decimal("--duration", low=1, metavar="S", help="Seconds under load.")
    ] = 60.0,
    seed: Annotated[
        int | None,
        whole("--seed", help="Decides all that is drawn.", show_default="a new one"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results go there.", show_default="out/chaos/TIME"),
    ] = None,
    clients: Annotated[
        int, whole("--clients", low=1, high=200, help="How many for each workload.")
    ] = 6,
    rate: Annotated[
        float, decimal("--rate", low=1, help="Calls a second of each workload.")
    ] = 60.0,
    timeout_ms: Annotated[
        int, whole("--timeout-ms", low=100, help="How long a call may take.")
    ] = 4_000,
    quiet: Annotated[
        str, typer.Option(metavar="MIN:MAX", help="Seconds between faults.")
    ] = "1.5:4",
    interval: Annotated[
        float | None,
        decimal(
            "--interval",
            low=1,
            metavar="S",
            help="Seconds from the beginning of a fault to the next one's, instead of --quiet.",
            show_default=False,
        ),
    ] = None,
    min_available: Annotated[
        float,
        decimal(
            "--min-available",
            high=1,
            metavar="SHARE",
            help="Writes must succeed in this share of 100 ms windows.",
        ),
    ] = 0.0,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Of every node, as in its configuration file; may be repeated "
            "(snapshot_entries=100 makes it write and send snapshots all the time).",
        ),
    ] = None,
    check_seconds: Annotated[
        float,
        decimal(
            "--check-seconds",
            low=1,
            metavar="S",
            help='How long a checker may take; then its verdict is "unknown".',
        ),
    ] = 60.0,
) -> None:
    """Run workloads and faults against a cluster of real processes on this machine, and judge.

    Exit code 0: every promise held; 1: one was broken; 2: nothing can be said."""
    seed = random.SystemRandom().randrange(MAX_SEED) if seed is None else seed
    out = out or Path("out", "chaos") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    try:
        options = RunOptions(
            nodes=nodes,
            workloads=workload_names(workload),
            nemesis=nemesis,
            specs=tuple(parse_specs(nemesis, lacks(network, workload_names(workload)))),
            network=network,
            duration_s=duration,
            seed=seed,
            out=out,
            workload=WorkloadOptions(clients=clients, rate=rate, timeout_ms=timeout_ms),
            quiet_s=_range(quiet),
            settings=_settings(setting or []),
            every_s=interval or 0.0,
            min_available=min_available,
        )
    except ScheduleError as error:
        fail(str(error))
    console = Console(emoji=False)
    try:
        record = uvloop.run(_run(options, console))
    except (ClusterError, HardwareError, NetworkError) as error:
        fail(str(error))
    except OSError as error:
        fail(os_reason(error))
    judgement = judge.judge(record, check_seconds)
    replay = replay_line(options)
    results = judge.as_json(judgement, record, replay)
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    write_report(out / "report.html", record, judgement, replay)
    write_pngs(out, record)
    screen.show_summary(console, record, judgement, replay)
    raise typer.Exit(EXIT_CODE[judgement.valid])


async def _run(options: RunOptions, console: Console) -> RunRecord:
    with screen.progress(console, options) as show:
        run_ = Run(options, show)
        task = asyncio.ensure_future(run_.go())
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            if run_.interrupted.is_set() or run_.phase == "starting":
                task.cancel()  # asked twice: stop now, without a report
            run_.interrupted.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        try:
            return await task
        except asyncio.CancelledError:
            fail("interrupted; every process was stopped, nothing was judged")
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def replay_line(options: RunOptions) -> str:
    """The command that makes the same draws again."""
    words = [
        "chaos",
        "run",
        *("--nodes", str(options.nodes)),
        *("--workload", ",".join(options.workloads)),
        *("--nemesis", options.nemesis),
        *("--duration", f"{options.duration_s:g}"),
        *("--seed", str(options.seed)),
    ]
    standard = WorkloadOptions()
    for name in ("clients", "rate", "timeout_ms"):
        value = getattr(options.workload, name)
        if value != getattr(standard, name):
            words += [f"--{name.replace('_', '-')}", f"{value:g}"]
    if options.network != "proxy":
        words += ["--network", options.network]
    if options.quiet_s != (1.5, 4.0):
        words += ["--quiet", "{:g}:{:g}".format(*options.quiet_s)]
    if options.every_s:
        words += ["--interval", f"{options.every_s:g}"]
    if options.min_available:
        words += ["--min-available", f"{options.min_available:g}"]
    for name, value in options.settings.items():
        words += ["--setting", f"{name}={_as_typed(value)}"]
    return shlex.join(words)


def _settings(pairs: list[str]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            fail(f"--setting takes NAME=VALUE, not {pair!r}")
        found[name] = _typed(text)
    return found


def _typed(text: str) -> Setting:
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if text.lstrip("-").isdecimal() else text


def _as_typed(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def lacks(name: str, workloads: Iterable[str]) -> frozenset[str]:
    """What nemeses may need and a run on this network, of these workloads, has not. Ends the
    command for a network that is not to be had."""
    network = NETWORKS.get(name)
    if network is None:
        fail(f"no network {name!r}; choose from: {', '.join(NETWORKS)}")
    if reason := network.why_not():
        fail(reason)
    has_agents = any(WORKLOADS[one].agents for one in workloads)
    return network.lacks() | (frozenset() if has_agents else frozenset({AGENTS}))


def workload_names(text: str) -> tuple[str, ...]:
    """With commas between, or all. Ends the command for one that is not there."""
    names = tuple(WORKLOADS) if text == "all" else tuple(one.strip() for one in text.split(","))
    for name in names:
        if name not in WORKLOADS:
            fail(f"no workload {name!r}; choose from: {', '.join(WORKLOADS)}, all")
    return tuple(dict.fromkeys(names))


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        found = float(low), float(high or low)
    except ValueError:
        fail(f"--quiet takes MIN:MAX in seconds, not {text!r}")
    if not 0 <= found[0] <= found[1]:
        fail(f"--quiet takes MIN:MAX in seconds, MIN not above MAX, not {text!r}")
    return found
