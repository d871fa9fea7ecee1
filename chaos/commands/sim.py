"""`chaos sim`: the deterministic simulation of a cluster, seed by seed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from chaos.commands.failing import fail
from chaos.sim.plan import ENGINES, HARDENED, LEVELS, PROFILES, SimPlan, make_plan
from chaos.sim.runner import SeedReport, account, run_many, run_one, silent_nodes
from chaos.sim.shrink import shrink
from chaos.sim.world import simulate
from coord.terminal.help import PlainCommand
from coord.terminal.options import whole

MIN_NODES, MAX_NODES = 3, 7


def register(app: typer.Typer) -> None:
    app.command("sim", cls=PlainCommand)(simulate_seeds)


def simulate_seeds(
    seeds: Annotated[str, typer.Option(metavar="A:B", help="From A up to, but not, B.")] = "0:100",
    engine: Annotated[
        str, typer.Option(metavar="|".join(ENGINES), help="What replicates.")
    ] = HARDENED,
    nodes: Annotated[
        int, whole("--nodes", low=MIN_NODES, high=MAX_NODES, help="How many nodes.")
    ] = 3,
    profile: Annotated[
        str,
        typer.Option(
            metavar="PROFILE",
            help=f"Kinds of faults: {', '.join(PROFILES)}.",
            show_default="the seed chooses",
        ),
    ] = "",
    level: Annotated[
        int | None,
        whole(
            "--level",
            high=max(LEVELS),
            help="Feature level.",
            show_default="the seed chooses",
        ),
    ] = None,
    keep: Annotated[
        str,
        typer.Option(metavar="N,...|none", help="Of one seed's faults only these."),
    ] = "",
    jobs: Annotated[int, whole("--jobs", help="Processes; 0 means one per core.")] = 0,
    shorten: Annotated[
        bool, typer.Option("--shrink", help="Shorten the fault lists of failing seeds.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the account of all seeds here."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the history of one seed here, as JSON lines."),
    ] = None,
) -> None:
    """Run a simulated cluster under faults and check every promise.

    The same seed gives the same history everywhere, byte for byte. Exit: 0 nothing found, 1 a
    promise was broken, 2 bad usage."""
    if engine not in ENGINES:
        fail(f"unknown engine {engine!r}; choose one of: {', '.join(ENGINES)}")
    if profile and profile not in PROFILES:
        fail(f"unknown profile {profile!r}; choose one of: {', '.join(PROFILES)}")
    chosen = _range(seeds)
    plans = [
        make_plan(seed, nodes=nodes, engine=engine, profile=profile or None, level=level)
        for seed in chosen
    ]
    if keep:
        if len(plans) != 1:
            fail("--keep goes with one seed")
        plans = [plans[0].keeping(_numbers(keep, len(plans[0].faults)))]
    if history is not None:
        if len(plans) != 1:
            fail("--history goes with one seed")
        _write_history(plans[0], history)
    _run(plans, jobs or os.cpu_count() or 1, json_file, shorten=shorten)


def _run(plans: list[SimPlan], jobs: int, json_file: Path | None, *, shorten: bool) -> None:
    result = account(_told(report, shorten=shorten) for report in run_many(plans, jobs))
    summary = result.to_json()
    if json_file is not None:
        json_file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    failing = len(result.failures)
    typer.echo(
        f"{len(plans)} seeds, {summary['simulated_s']:.0f} simulated seconds, "
        f"{summary['operations']} operations, {summary['faults']} faults, {failing} failing; "
        f"histories {summary['history_sha256'][:16]}; {summary['seconds']} s"
    )
    raise typer.Exit(1 if failing else 0)


def _told(report: SeedReport, *, shorten: bool) -> SeedReport:
    """Say at once that a seed fails, and how to see it again."""
    if report.failure is None:
        return report
    seen = f" [{', '.join(report.witnesses)}]" if report.witnesses else ""
    typer.echo(f"seed {report.plan.seed}: {report.failure}{seen}")
    typer.echo(f"  {report.plan.replay()}")
    if shorten:
        shorter = shrink(report.plan, lambda plan: run_one(plan).failure is not None)
        typer.echo(f"  {len(shorter.faults)} of {len(report.plan.faults)} faults are enough:")
        typer.echo(f"  {shorter.replay()}")
    return report


def _write_history(plan: SimPlan, path: Path) -> None:
    with silent_nodes():
        lines = simulate(plan).history
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    try:
        chosen = range(int(first), int(end))
    except ValueError:
        fail(f"--seeds takes A:B, two whole numbers, not {text!r}")
    if not chosen or chosen.start < 0:
        fail(f"--seeds {text}: there is no seed in it")
    return chosen


def _numbers(text: str, count: int) -> tuple[int, ...]:
    if text == "none":
        return ()
    try:
        numbers = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        fail(f"--keep takes numbers with commas, not {text!r}")
    if not 0 <= numbers[0] <= numbers[-1] < count:
        fail(f"--keep: this seed has the faults 0 to {count - 1}")
    return numbers
