"""The command line of scripts/mutate."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from coord.terminal.interrupts import take_interrupts
from scripts.lib.mutate.mutant import Mutant, MutantError
from scripts.lib.mutate.mutants import MUTANTS
from scripts.lib.mutate.trial import Result, try_mutants

ROOT = Path(__file__).resolve().parents[3]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.list:
        for mutant in MUTANTS:
            print(f"{mutant.name:44} {mutant.path}")
        return
    mutants = _chosen(options.only)
    take_interrupts()
    try:
        sys.exit(asyncio.run(_run(mutants, options.jobs, options.timeout)))
    except KeyboardInterrupt:
        print("mutate: interrupted", file=sys.stderr)
        sys.exit(130)
    except (MutantError, RuntimeError) as error:
        print(f"mutate: {error}", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/mutate",
        description="Put one bug after the other into a copy of the tree, and run the tests that "
        "must catch it. Exit 0 only if every bug was caught, 1 if one was not, 2 if a mutant does "
        "not match the source or its tests fail without it.",
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=_positive, default=cores, help="mutants at a time")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this one; can be repeated"
    )
    parser.add_argument(
        "--timeout", type=_positive, default=120, metavar="S", help="seconds for one mutant's tests"
    )
    parser.add_argument("--list", action="store_true", help="show the mutants and try none")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _chosen(names: Sequence[str]) -> Sequence[Mutant]:
    known = {mutant.name: mutant for mutant in MUTANTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"mutate: no mutant {', '.join(unknown)}; --list shows all", file=sys.stderr)
        sys.exit(2)
    return [known[name] for name in dict.fromkeys(names)] or MUTANTS


async def _run(mutants: Sequence[Mutant], jobs: int, timeout_s: float) -> int:
    total, done, survivors = len(mutants), 0, []

    def report(result: Result) -> None:
        nonlocal done
        done += 1
        word = "caught" if result.caught else "NOT CAUGHT"
        name = result.mutant.name
        line = f"[{done:>2}/{total}] {word:10} {name:44} {result.seconds:5.1f} s  {result.detail}"
        print(line, flush=True)
        if not result.caught:
            survivors.append(name)

    await try_mutants(ROOT, mutants, jobs, timeout_s, report)
    if survivors:
        print(f"not caught: {', '.join(sorted(survivors))}")
    print(f"caught {total - len(survivors)} of {total}")
    return 1 if survivors else 0
