"""Trying mutants: first that their tests pass without them, then that they fail with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scripts.lib.mutate.mutant import Mutant, MutantError
from scripts.lib.mutate.suite import Ending, Outcome, check_imports, run_tests
from scripts.lib.mutate.tree import Tree, copied

_LEAST_S = 60.0  # for all tests without a mutant, however short a mutant's own time is


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant. `detail`: the test that caught it, or what is wrong."""

    mutant: Mutant
    caught: bool
    detail: str
    seconds: float


async def try_mutants(
    root: Path,
    mutants: Sequence[Mutant],
    jobs: int,
    timeout_s: float,
    report: Callable[[Result], None],
) -> list[Result]:
    """Try all, `jobs` at a time, each in a copy of its own. Raises MutantError for one that does
    not match the source, or whose tests fail without it."""
    for mutant in mutants:
        mutant.check(root)
    with ExitStack() as stack:
        trees = [stack.enter_context(copied(root)) for _ in range(min(jobs, len(mutants)))]
        await check_imports(trees[0].root)
        await _check_tests_pass(trees[0], mutants, timeout_s)
        waiting = list(reversed(mutants))
        results: list[Result] = []

        async def work(tree: Tree) -> None:
            while waiting:
                result = await _try(tree, waiting.pop(), timeout_s)
                results.append(result)
                report(result)

        async with asyncio.TaskGroup() as group:
            for tree in trees:
                group.create_task(work(tree))
        return results


async def _check_tests_pass(tree: Tree, mutants: Sequence[Mutant], timeout_s: float) -> None:
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
    outcome = await run_tests(tree.root, tests, max(_LEAST_S, timeout_s * len(mutants)), every=True)
    if outcome.ending is Ending.PASSED:
        return
    failed = set(outcome.failed)
    names = [mutant.name for mutant in mutants if failed & _names_of(mutant, failed)]
    raise MutantError(
        f"{', '.join(names) or 'some mutants'}: their tests fail without them "
        f"({outcome.ending.value}):\n{outcome.tail}"
    )


def _names_of(mutant: Mutant, failed: set[str]) -> set[str]:
    """Those of the failed tests that this mutant names, by file, by name, or with parameters."""
    return {one for one in failed if any(one.startswith(test) for test in mutant.tests)}


async def _try(tree: Tree, mutant: Mutant, timeout_s: float) -> Result:
    began = time.monotonic()
    with tree.with_mutant(mutant):
        outcome = await run_tests(tree.root, mutant.tests, timeout_s, every=False)
    caught = outcome.ending is Ending.FAILED
    return Result(mutant, caught, _detail(outcome), time.monotonic() - began)


def _detail(outcome: Outcome) -> str:
    match outcome.ending:
        case Ending.FAILED:
            return outcome.failed[0] if outcome.failed else "a test"
        case Ending.PASSED:
            return "its tests pass with it"
        case Ending.BROKEN | Ending.TOO_SLOW:
            return f"{outcome.ending.value}, which is not a test that fails:\n{outcome.tail}"
