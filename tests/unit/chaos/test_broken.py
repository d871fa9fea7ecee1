"""Workloads and checkers together: every broken store is caught, the right one is not."""

from __future__ import annotations

import asyncio

import pytest

from chaos.checkers.result import CheckResult
from chaos.run.selftest import try_store
from chaos.stores.broken import BROKEN
from chaos.stores.memory import MemoryStore
from chaos.workloads import WORKLOADS

SECONDS = 2.5  # more than a lease and a zombie's delay
CASES = [
    *(("right", MemoryStore, workload) for workload in WORKLOADS),
    *(
        (name, make, workload)
        for name, (make, workloads) in BROKEN.items()
        for workload in workloads
    ),
]


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], CheckResult]:
    """All of them at once: they mostly wait."""

    async def run() -> list[CheckResult]:
        tries = [try_store(make(), workload, SECONDS, rate=120) for _, make, workload in CASES]
        return list(await asyncio.gather(*tries))

    found = asyncio.run(run())
    return {(name, w): result for (name, _, w), result in zip(CASES, found, strict=True)}


@pytest.mark.parametrize(("name", "workload"), [(name, w) for name, _, w in CASES])
def test_what_is_broken_is_caught(
    results: dict[tuple[str, str], CheckResult], name: str, workload: str
) -> None:
    result = results[name, workload]
    assert result.valid is (name == "right"), result.anomalies


def test_every_checker_of_a_workload_has_a_store_it_catches() -> None:
    caught = {workload for _, workloads in BROKEN.values() for workload in workloads}
    assert caught == set(WORKLOADS)
