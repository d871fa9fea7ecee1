"""Whether this checkout is as fast as another one: both measure the same in turn, round by round,
so that what the machine does meanwhile meets both.

A ratio above 1 means that this checkout is better. The interval is that of the median over the
rounds (95 %, bootstrap), so one round that a busy disk spoilt does not decide."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.cli import at_least_one, duration_s, results_console
from bench.errors import BenchError
from bench.place import ROOT

_RESAMPLES = 10_000
_SEED = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run: its scenario, point, name and value, and which direction is better."""

    scenario: str
    label: str
    name: str
    value: float
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A figure of both checkouts in one round."""

    ours: float
    theirs: float
    higher_is_better: bool

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.theirs if self.higher_is_better else self.theirs / self.ours


def figures(run: Mapping[str, Any]) -> Iterator[Figure]:
    """The headline of every point in the JSON of a run, and the processor time of the servers for
    one operation where there is a rate: that one hardly depends on the disk."""
    for scenario, found in run["scenarios"].items():
        for row in found["rows"]:
            if row["error"]:
                raise BenchError(f"{scenario}, {row['label']}: {row['error']}")
            medians, label = row["medians"], row["label"]
            better = found["higher_is_better"]
            yield Figure(scenario, label, found["headline"], medians[found["headline"]], better)
            rate, cores = medians.get("per_second"), medians.get("server_cores")
            if rate and cores:
                yield Figure(scenario, label, "server us", 1e6 * cores / rate, False)


def paired(
    ours: Sequence[Iterable[Figure]], theirs: Sequence[Iterable[Figure]]
) -> dict[tuple[str, str, str], list[Pair]]:
    """The figures that both have, by scenario, point and name; one pair a round."""
    pairs: dict[tuple[str, str, str], list[Pair]] = {}
    for own, other in zip(ours, theirs, strict=True):
        known = {(one.scenario, one.label, one.name): one for one in other}
        for one in own:
            at = (one.scenario, one.label, one.name)
            if at in known:
                pair = Pair(one.value, known[at].value, one.higher_is_better)
                pairs.setdefault(at, []).append(pair)
    return pairs


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Within which the median lies with 95 %, by resampling the rounds; the same for the same
    rounds."""
    source = random.Random(_SEED)
    medians = sorted(
        statistics.median(source.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES)
    )
    return medians[_RESAMPLES * 25 // 1_000], medians[_RESAMPLES * 975 // 1_000 - 1]


def table(pairs: Mapping[tuple[str, str, str], Sequence[Pair]]) -> Table:
    """The medians of both, the median ratio and its interval."""
    made = Table(title="This checkout against the other", title_justify="left")
    for heading in ("scenario", "point", "figure"):
        made.add_column(heading)
    for heading in ("here", "other", "ratio", "95 %", "rounds"):
        made.add_column(heading, justify="right")
    for (scenario, label, name), rounds in pairs.items():
        ratios = [pair.ratio for pair in rounds]
        low, high = interval(ratios)
        made.add_row(
            scenario,
            label,
            name,
            f"{statistics.median(pair.ours for pair in rounds):,.4g}",
            f"{statistics.median(pair.theirs for pair in rounds):,.4g}",
            f"{statistics.median(ratios):.3f}",
            f"{low:.3f} - {high:.3f}",
            str(len(rounds)),
        )
    return made


def measure(checkout: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """What one round of `scripts/bench` finds there."""
    with tempfile.TemporaryDirectory() as place:
        found = Path(place) / "run.json"
        command = [str(checkout / "scripts" / "bench"), *arguments, "--json", str(found)]
        # From there, and with no path to here: Python looks in both for modules first.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        said = _wait_for(command, checkout, env)
        if not found.exists():
            raise BenchError(f"{command[0]} measured nothing:\n{said.strip()}")
        run: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return run


def _wait_for(command: Sequence[str], checkout: Path, env: Mapping[str, str]) -> str:
    """What the command says on stderr. Ctrl-C meets it too; it then has the time to stop its nodes,
    which `subprocess.run` would not give."""
    with subprocess.Popen(
        command, cwd=checkout, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            return process.communicate()[1]
        except KeyboardInterrupt:
            process.wait()
            raise


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench-compare", description=__doc__)
    add = parser.add_argument
    add("other", type=Path, help="the other checkout of this project")
    add("--scenario", default="cycle,batch,commit", help="as for scripts/bench")
    add("--rounds", type=at_least_one, default=9, help="of each checkout (default 9)")
    add("--duration", type=duration_s, default=3.0, metavar="S", help="of one point (default 3)")
    add("--dir", type=Path, help="where data lies; a real disk")
    options = parser.parse_args(arguments)
    if not (options.other / "scripts" / "bench").is_file():
        parser.error(f"{options.other} is no checkout: it has no scripts/bench")
    one_round = ["--scenario", options.scenario, "--rounds", "1"]
    one_round += ["--duration", str(options.duration)]
    one_round += ["--dir", str(options.dir)] if options.dir else []
    try:
        pairs = _compare(options.other.resolve(), options.rounds, one_round)
    except BenchError as error:
        sys.stderr.write(f"bench-compare: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench-compare: interrupted\n")
        return 130
    results_console().print(table(pairs))
    return 0


def _compare(
    other: Path, rounds: int, arguments: Sequence[str]
) -> dict[tuple[str, str, str], list[Pair]]:
    ours: list[list[Figure]] = []
    theirs: list[list[Figure]] = []
    for number in range(rounds):
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
        turns = [(ROOT, ours), (other, theirs)]
        # Who begins changes: what gets slower in the course of a round meets both.
        for checkout, found in turns if number % 2 else reversed(turns):
            found.append(list(figures(measure(checkout, arguments))))
    return paired(ours, theirs)


if __name__ == "__main__":
    sys.exit(main())
