"""A data directory has one owner and one user."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.sim.disk import SimDisk, SimulatedCrash
from coord.journal import (
    DataDirectory,
    DataDirectoryError,
    DiskFullError,
    Journal,
    OsFileSystem,
    StorageDamagedError,
)

HOLD = """
import sys
from coord.journal import DataDirectory
directory = DataDirectory.open(sys.argv[1], "c", "n1")
print("open", flush=True)
sys.stdin.read()
"""


def test_open_again_and_paths(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    directory = DataDirectory.open(f"{path}/", "c", "n1", wall_ms=77)
    assert directory.path == str(path)
    assert not directory.initialized
    assert directory.identity.created_wall_ms == 77
    directory.mark_initialized()
    directory.mark_initialized()
    directory.close()
    directory.close()
    again = DataDirectory.open(str(path), "c", "n1", wall_ms=99)
    assert again.initialized
    assert again.identity == directory.identity
    Journal.open(OsFileSystem(), again.journal_directory).close()
    assert sorted(os.listdir(path)) == ["IDENTITY", "LOCK", "journal"]
    assert again.vote_path == f"{path}/vote"
    assert again.snapshot_directory == f"{path}/snapshots"
    again.close()


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(DataDirectoryError, match="in use by another running node"):
            DataDirectory.open(path, "c", "n1")
        process.kill()
    DataDirectory.open(path, "c", "n1").close()


def test_a_second_opening_in_one_process_is_refused(tmp_path: Path) -> None:
    directory = DataDirectory.open(str(tmp_path), "c", "n1")
    with pytest.raises(DataDirectoryError, match="in use"):
        DataDirectory.open(str(tmp_path), "c", "n1")
    directory.close()


@pytest.mark.parametrize(
    ("cluster_id", "node_id", "message"),
    [
        ("other", "n1", "belongs to cluster 'c'.*configured for cluster 'other'"),
        ("c", "n2", "belongs to node 'n1'.*this is node 'n2'"),
    ],
)
def test_anothers_directory_is_refused(
    tmp_path: Path, cluster_id: str, node_id: str, message: str
) -> None:
    DataDirectory.open(str(tmp_path), "c", "n1").close()
    with pytest.raises(DataDirectoryError, match=message):
        DataDirectory.open(str(tmp_path), cluster_id, node_id)
    DataDirectory.open(str(tmp_path), "c", "n1").close()  # the refusal gave the lock back


def test_every_changed_byte_of_the_identity_is_noticed(tmp_path: Path) -> None:
    DataDirectory.open(str(tmp_path), "c", "n1").close()
    file = tmp_path / "IDENTITY"
    data = file.read_bytes()
    for position in range(len(data)):
        for changed in (
            data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :],
            data[:position],
        ):
            file.write_bytes(changed)
            if _same_json(changed, data):
                continue
            with pytest.raises(StorageDamagedError):
                DataDirectory.open(str(tmp_path), "c", "n1")


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    from zlib import crc32

    values = {"format": 2, "whatever": True}
    values["crc32"] = crc32(json.dumps(values, sort_keys=True).encode())
    (tmp_path / "IDENTITY").write_text(json.dumps(values))
    with pytest.raises(DataDirectoryError, match="format 2"):
        DataDirectory.open(str(tmp_path), "c", "n1")


@pytest.mark.parametrize("name", ["vote", "journal", "snapshots"])
def test_data_without_an_identity_is_damage(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StorageDamagedError, match="IDENTITY"):
        DataDirectory.open(str(tmp_path), "c", "n1")


def test_foreign_files_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    DataDirectory.open(str(tmp_path), "c", "n1").close()


def test_a_path_that_cannot_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match="cannot be used"):
        DataDirectory.open(str(tmp_path / "file"), "c", "n1")


def test_a_crash_at_every_change() -> None:
    for point in range(10):
        for seed in range(10):
            disk = SimDisk()
            disk.crash_after(point)
            marked = False
            try:
                DataDirectory.open("/data", "c", "n1", fs=disk).mark_initialized()
                marked = True
            except SimulatedCrash:
                pass
            disk.crash(random.Random(seed))
            directory = DataDirectory.open("/data", "c", "n1", fs=disk)
            assert directory.initialized or not marked


def test_a_full_disk() -> None:
    disk = SimDisk()
    disk.free_bytes = 20
    with pytest.raises(DiskFullError):
        DataDirectory.open("/data", "c", "n1", fs=disk)
    disk.free_bytes = None
    DataDirectory.open("/data", "c", "n1", fs=disk).close()
