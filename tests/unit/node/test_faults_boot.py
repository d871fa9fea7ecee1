"""The number of a node's run: peers ignore whatever comes from a run before the last they knew."""

from __future__ import annotations

import shutil
from pathlib import Path

from coord.journal import OsFileSystem
from coord.replication.boot import open_storage


def boot_id(directory: Path, wall_ms: int) -> int:
    storage = open_storage(
        str(directory), "c", "n1", wall_ms=wall_ms, incarnation=7, fs=OsFileSystem()
    )
    storage.close()
    return storage.boot.boot_id


def test_runs_are_numbered_upwards_even_when_the_directory_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    first = boot_id(directory, 1_000_000)
    second = boot_id(directory, 5)  # the wall clock decides nothing once there is a count
    shutil.rmtree(directory)
    third = boot_id(directory, 1_000_500)
    assert first < second == first + 1 < third
