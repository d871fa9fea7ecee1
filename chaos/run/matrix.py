"""Many runs: every nemesis against every workload, for as long as there is time.

Each cell of the matrix is one `chaos run` in a process and a directory of its own. What came of it
is one line in `matrix.jsonl`; cells that have a line are not run again, so a matrix that was
stopped goes on where it was. The order is drawn from the seed and spread evenly, so that a short
budget sees a bit of everything; each cell's seed is drawn from the seed and its name, so that it
does not depend on the order. Several runs may go on side by side: they share nothing but the
machine."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from chaos.histories.verdicts import Verdict

LINES = "matrix.jsonl"
CELLS = "cells"
AROUND_S = 10.0  # start, aftermath and checkers of a cell; a guess for the budget
PATIENCE_S = 150.0  # beyond its duration; a cell that takes longer is the harness's failure
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Cell:
    """One run. `workloads` and `nemesis` as `chaos run` takes them."""

    nodes: int
    network: str
    nemesis: str
    workloads: str
    duration_s: float

    @property
    def name(self) -> str:
        words = [self.network, str(self.nodes), self.nemesis, self.workloads]
        return re.sub(r"[^a-z0-9.-]+", "_", "_".join([*words, f"{self.duration_s:g}s"]))

    def seed(self, seed: int) -> int:
        return random.Random(f"{seed}/{self.name}").getrandbits(31)


@dataclass(frozen=True, slots=True)
class CellResult:
    """`valid` "unknown" also when the run broke down; then `trouble` says how."""

    cell: Cell
    seed: int
    valid: Verdict
    took_s: float
    replay: str = ""
    calls: int = 0
    faults: int = 0
    longest_write_gap_ms: int = 0
    anomalies: tuple[str, ...] = field(default=())
    trouble: str = ""


def order(cells: Sequence[Cell], seed: int) -> list[Cell]:
    """The order in which they are run: every nemesis meets every workload once before one pair
    meets again, and until then the nemeses take turns."""
    drawn = sorted(cells, key=lambda cell: cell.name)
    random.Random(f"{seed}/order").shuffle(drawn)
    turns = _in_turns(drawn, lambda cell: cell.nemesis)
    return _in_turns(turns, lambda cell: (cell.nemesis, cell.workloads))


def _in_turns(cells: Sequence[Cell], group: Callable[[Cell], Hashable]) -> list[Cell]:
    """The first of each group, then the second of each, and so on."""
    seen: Counter[Hashable] = Counter()
    turn: dict[Cell, int] = {}
    for cell in cells:
        turn[cell] = seen[group(cell)]
        seen[group(cell)] += 1
    return sorted(cells, key=turn.__getitem__)


def load(out: Path) -> list[CellResult]:
    """The results so far. A last line that was cut off does not count."""
    path = out / LINES
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [_from_json(json.loads(line)) for line in lines if line]


def latest(results: Sequence[CellResult]) -> list[CellResult]:
    """Of every cell the last result: the one that counts, if it was played again."""
    return list({result.cell: result for result in results}.values())


def run_cells(
    cells: Sequence[Cell],
    out: Path,
    seed: int,
    budget_s: float,
    *,
    jobs: int = 1,
    again: bool = False,
) -> Generator[CellResult]:
    """Run what has no result yet, `jobs` at a time, as long as the budget lasts; each result is
    kept at once. With `again`, what was not valid is run once more, with the same seed.

    Closed, or ended by KeyboardInterrupt, it returns once the runs under way have stopped in an
    orderly way."""
    out.mkdir(parents=True, exist_ok=True)
    done = {one.cell for one in latest(load(out)) if one.valid is True or not again}
    left = deque(cell for cell in cells if cell not in done)
    ends_at = time.monotonic() + budget_s
    under_way: list[_Process] = []
    try:
        while True:
            while left and len(under_way) < jobs:
                if time.monotonic() + left[0].duration_s + AROUND_S > ends_at:
                    left.clear()
                else:
                    under_way.append(_Process.start(left.popleft(), out, seed))
            if not under_way:
                return
            time.sleep(LOOK_EVERY_S)
            for process in [one for one in under_way if one.ended()]:
                under_way.remove(process)
                result = process.result()
                with (out / LINES).open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(asdict(result)) + "\n")
                yield result
    finally:
        for process in under_way:
            process.interrupt()
        for process in under_way:
            process.popen.wait()


@dataclass(slots=True)
class _Process:
    """The run of a cell."""

    cell: Cell
    seed: int
    directory: Path
    popen: subprocess.Popen[bytes]
    started: float

    @classmethod
    def start(cls, cell: Cell, out: Path, matrix_seed: int) -> Self:
        directory, seed = out / CELLS / cell.name, cell.seed(matrix_seed)
        directory.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "chaos", "run", "--out", str(directory)),
            *("--nodes", str(cell.nodes), "--network", cell.network, "--nemesis", cell.nemesis),
            *("--workload", cell.workloads, "--duration", f"{cell.duration_s:g}"),
            *("--seed", str(seed), "--quiet", "0.5:2"),
        ]
        (directory / "results.json").unlink(missing_ok=True)
        with (directory / "run.log").open("wb") as log:
            # In a session of its own, so that an interrupt reaches it from here, and once.
            popen = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        return cls(cell, seed, directory, popen, time.monotonic())

    @property
    def took_s(self) -> float:
        return time.monotonic() - self.started

    def ended(self) -> bool:
        """Also when it had to be ended, as it took too long."""
        if self.popen.poll() is None and self.took_s > self.cell.duration_s + PATIENCE_S:
            self.popen.kill()
            self.popen.wait()
        return self.popen.returncode is not None

    def interrupt(self) -> None:
        """It heals and stops."""
        self.popen.send_signal(signal.SIGINT)

    def result(self) -> CellResult:
        code = self.popen.returncode
        return read_result(self.cell, self.seed, self.directory, round(self.took_s, 1), code)


def read_result(cell: Cell, seed: int, directory: Path, took_s: float, code: int) -> CellResult:
    """What a run left in its directory."""
    try:
        found: dict[str, Any] = json.loads((directory / "results.json").read_text("utf-8"))
    except (OSError, ValueError):
        trouble = f"no results, exit code {code}; see {CELLS}/{cell.name}/run.log"
        return CellResult(cell, seed, "unknown", took_s, trouble=trouble)
    judged = {**found["workloads"], **found["promises"]}
    return CellResult(
        cell=cell,
        seed=seed,
        valid=found["valid"],
        took_s=took_s,
        replay=found["replay"],
        calls=sum(one["ops"] for one in found["workloads"].values()),
        faults=len(found["faults"]),
        longest_write_gap_ms=found["longest_write_gap_ms"],
        anomalies=tuple(f"{n}: {line}" for n, one in judged.items() for line in one["anomalies"]),
    )


def _from_json(raw: dict[str, Any]) -> CellResult:
    cell = Cell(**raw.pop("cell"))
    return CellResult(cell, anomalies=tuple(raw.pop("anomalies")), **raw)
