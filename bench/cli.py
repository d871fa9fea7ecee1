"""Measures this store and, with --peers, what people use instead, on the same work in one run."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bench.bench import Bench, Timing
from bench.environment import describe
from bench.errors import BenchError
from bench.place import Place
from bench.report import Report, read
from bench.results import Results
from bench.runner import Runner
from bench.scenarios import QUICK, SCENARIOS
from bench.systems import PEERS
from bench.systems.base import System
from bench.systems.coord import CoordSystem

QUICK_TIMING = Timing(
    warmup_s=0.5,
    duration_s=1.0,
    pending=(1, 1_000),
    agents=(10,),
    sizes=(1, 3),
    state_tasks=5_000,
    log_entries=500,
    kills=2,
    saturation_s=3.0,
    sustained_s=6.0,
    kill_every_s=6.0,
    task_rate=300.0,
)
FULL_TIMING = Timing(
    pending=(1, 10_000, 100_000, 1_000_000),
    agents=(10, 100, 1_000),
    sizes=(3, 5, 7),
    state_tasks=1_000_000,
    log_entries=100_000,
    kills=100,
    saturation_s=300.0,
    sustained_s=1_800.0,
    kill_every_s=60.0,
)
FILE_WIDTH = 150
EARLIER = "measure nothing; report on these results of --json, put together"
EPILOG = (
    "scenarios: "
    + ", ".join(SCENARIOS)
    + "; quick: "
    + ", ".join(QUICK)
    + ". Exit code 0: everything was measured (peers that are not installed are reported as not "
    "run); 1: a measurement failed; 2: wrong usage."
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    scenarios: tuple[str, ...]
    nodes: tuple[int, ...]
    peers: tuple[str, ...]
    rounds: int
    timing: Timing
    report: Report
    earlier: tuple[Path, ...]
    directory: Path | None


def parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, epilog=EPILOG)
    add = parser.add_argument
    add("--scenario", type=_names(SCENARIOS), metavar="A,B", help="only these (default all)")
    add("--peers", type=_names(PEERS), default=(), metavar="A,B", help=f"all, or {_list(PEERS)}")
    add("--nodes", type=_sizes, default=(3,), metavar="3,5,7", help="cluster sizes (default 3)")
    add("--rounds", type=at_least_one, help="default 3; quick 1")
    add("--duration", type=duration_s, metavar="S", help="of one point (default 5; quick 1)")
    add("--warmup", type=duration_s, metavar="S", help="before each (default 1; quick 0.5)")
    add("--quick", action="store_true", help="few scenarios, one short round: under a minute")
    add("--full", action="store_true", help="up to 1,000,000 tasks, 1,000 agents, 100 kills")
    add("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    add("--markdown", type=Path, metavar="FILE.md", help="write targets and tables as a page")
    add("--plot", type=Path, metavar="FILE.svg", help="plot ratios; latencies in FILE-latency.svg")
    add("--from", dest="earlier", type=_paths, default=(), metavar="A.json,B.json", help=EARLIER)
    add("--dir", type=Path, help="where data lies; a real disk (default the temporary directory)")
    found = parser.parse_args(arguments)
    if found.quick and found.full:
        parser.error("--quick and --full exclude each other")
    if found.plot is not None and found.plot.suffix != ".svg":
        parser.error("--plot writes SVG: name the file *.svg")
    if found.earlier and (found.scenario or found.peers or found.quick or found.full):
        parser.error("--from measures nothing: it goes with --json, --markdown and --plot")
    return Options(
        scenarios=found.scenario or (QUICK if found.quick else tuple(SCENARIOS)),
        nodes=found.nodes,
        peers=found.peers,
        rounds=found.rounds or (1 if found.quick else 3),
        timing=_timing(found),
        report=Report(found.json, found.markdown, found.plot),
        earlier=found.earlier,
        directory=found.dir,
    )


def _timing(found: argparse.Namespace) -> Timing:
    base = QUICK_TIMING if found.quick else FULL_TIMING if found.full else Timing()
    return replace(
        base,
        warmup_s=base.warmup_s if found.warmup is None else found.warmup,
        duration_s=base.duration_s if found.duration is None else found.duration,
    )


def main() -> int:
    arguments = sys.argv[1:]
    options = parse(arguments)
    # Also SIGINT: who is started by a script in the background begins with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    command = shlex.join(["scripts/bench", *arguments])
    try:
        return run(options, command, Console(stderr=True), results_console())
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted; everything was stopped and removed\n")
        return 130


def results_console() -> Console:
    """Tables in a file or a pipe are not squeezed into the 80 columns of no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)


def run(options: Options, command: str, progress: Console, output: Console) -> int:
    """Measures and reports; the exit code."""
    if options.earlier:
        options.report.make(read(options.earlier), output)
        return 0
    scenarios = [SCENARIOS[name] for name in options.scenarios]
    systems: list[System] = [CoordSystem(nodes) for nodes in options.nodes]
    systems += [PEERS[name]() for name in options.peers]
    with Place(options.directory) as place:
        results = Results([command], describe(place.path, place.filesystem))
        bench = Bench(place.path, options.timing)
        runner = Runner(bench, scenarios, systems, options.rounds, results, progress.print)
        try:
            runner.run()
        finally:
            # What was measured before an interruption is not thrown away.
            if results.samples:
                options.report.make(results, output)
    failed = [sample for sample in results.samples if sample.error]
    ours = {system.label for system in systems[: len(options.nodes)]}
    return 1 if failed or ours & results.not_run.keys() else 0


def _list(known: object) -> str:
    assert isinstance(known, dict)
    return ", ".join(known)


def _names(known: object) -> Callable[[str], tuple[str, ...]]:
    assert isinstance(known, dict)

    def names(text: str) -> tuple[str, ...]:
        if text == "all":
            return tuple(known)
        wanted = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        for name in wanted:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are {_list(known)}")
        if not wanted:
            raise argparse.ArgumentTypeError(f"name some of {_list(known)}")
        return wanted

    return names


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(","))


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    if not sizes or not all(1 <= size <= 9 for size in sizes):
        raise argparse.ArgumentTypeError("sizes of 1 to 9 nodes")
    return sizes


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def duration_s(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("more than 0 and at most 3600")
    return seconds
