"""Starts after a sync that failed, also on a full disk: the system then holds for clean what the
disk does not have, so whatever a node starts from is written once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.sim.plan import Fault, SimPlan, make_plan
from chaos.sim.runner import run_one
from coord.journal import FileSystem, io
from coord.journal.io import cut_file, open_file, sync_file

NODE = "n1"
AT_S = 2.0
FULL_S = 1.5  # longer than the node is down


def plan_of(changes: int) -> SimPlan:
    """The disk is full, a sync fails, and the node dies that many changes of the disk later: at one
    of them it has not cut off yet what the sync left."""
    faults = (
        Fault(AT_S, "disk_full", (NODE,), FULL_S),
        Fault(AT_S, "sync_fails", (NODE,)),
        Fault(AT_S, "kill_at_write", (NODE,), changes),
    )
    plan = make_plan(0, profile="bad-starts", level=0)
    return replace(plan, faults=faults, storm_s=4.0, calm_s=4.0)


def failures() -> list[str | None]:
    return [run_one(plan_of(changes)).failure for changes in range(6)]


def test_a_disk_that_is_full_at_the_start_after_a_failed_sync() -> None:
    assert failures() == [None] * 6


def test_a_start_on_a_full_disk_that_only_syncs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_sync(fs: FileSystem, path: str, data: bytes, *, cut: bool) -> None:
        file = open_file(fs, path)
        try:
            if cut:
                cut_file(file, path, len(data) + 1)
                cut_file(file, path, len(data))
            sync_file(file, path)
        finally:
            file.close()

    monkeypatch.setattr(io, "rewrite_in_place", only_sync)
    assert any("not durable" in failure for failure in failures() if failure is not None)
