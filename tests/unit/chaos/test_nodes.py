"""The parts of a node's machine that can be hurt: the disk, the clocks, the control file."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos.nodes.clocks import BentClock, BentEventLoop
from chaos.nodes.control import (
    MachineFaults,
    add_note,
    read_faults,
    read_notes,
    read_seen,
    write_faults,
    write_seen,
)
from chaos.nodes.disk import FaultyDisk

NS = 1_000_000_000


class Disk:
    """A faulty disk whose faults a test sets."""

    def __init__(self) -> None:
        self.faults = MachineFaults()
        self.notes: list[str] = []
        self.fs = FaultyDisk(lambda: self.faults, self.notes.append)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def test_unsynced_bytes_are_read_but_not_on_the_disk(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.faults = MachineFaults(power_cut_permille=0)
    file = disk.fs.open_append(str(path), create=True)
    assert file.write(b"unsynced") == 8
    assert path.read_bytes() == b""
    assert disk.fs.read_all(str(path)) == b"unsynced"
    assert disk.fs.read_at(str(path), 2, 3) == b"syn"
    assert disk.fs.size(str(path)) == 8
    disk.faults = MachineFaults()
    file.write(b", written")
    assert path.read_bytes() == b"unsynced, written"


def test_a_renamed_file_keeps_its_unsynced_bytes(disk: Disk, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    disk.faults = MachineFaults(sync_fails=True)
    file = disk.fs.open_append(str(old), create=True)
    file.write(b"a")
    disk.fs.rename(str(old), str(new))
    file.write(b"b")
    assert disk.fs.read_all(str(new)) == b"ab"
    disk.faults = MachineFaults()
    file.fdatasync()
    assert new.read_bytes() == b"ab"


def test_a_failed_sync_loses_what_was_unsynced_for_good(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = disk.fs.open_append(str(path), create=True)
    file.write(b"synced")
    file.fdatasync()
    disk.faults = MachineFaults(sync_fails=True)
    file.write(b"lost")
    with pytest.raises(OSError, match="Input/output") as failed:
        file.fdatasync()
    assert failed.value.errno == errno.EIO
    disk.faults = MachineFaults()
    file.fdatasync()
    assert disk.fs.read_all(str(path)) == path.read_bytes() == b"synced"
    assert disk.notes == ["a sync of file failed"]


def test_a_full_disk_takes_no_byte_and_no_file(disk: Disk, tmp_path: Path) -> None:
    file = disk.fs.open_append(str(tmp_path / "file"), create=True)
    disk.faults = MachineFaults(disk_full=True)
    for write in (
        lambda: file.write(b"x"),
        lambda: disk.fs.open_append(str(tmp_path / "other"), create=True),
        lambda: disk.fs.mkdir(str(tmp_path / "folder")),
    ):
        with pytest.raises(OSError, match="No space left"):
            write()
    assert disk.fs.read_all(str(tmp_path / "file")) == b""
    assert disk.fs.listdir(str(tmp_path)) == ["file"]


def test_syncs_take_as_long_as_they_are_told(disk: Disk, tmp_path: Path) -> None:
    file = disk.fs.open_append(str(tmp_path / "file"), create=True)
    disk.faults = MachineFaults(sync_delay_ms=50)
    for sync in (file.fdatasync, lambda: disk.fs.fsync_dir(str(tmp_path))):
        started = time.monotonic()
        sync()
        assert time.monotonic() - started >= 0.05


CUT = """
import sys
from chaos.nodes.control import MachineFaults
from chaos.nodes.disk import FaultyDisk
disk = FaultyDisk(lambda: MachineFaults(power_cut_permille=int(sys.argv[2])), print)
file = disk.open_append(sys.argv[1], create=True)
file.fdatasync()  # nothing is lost yet, so nothing happens
file.write(b"x" * 1_000)
file.fdatasync()
print("still there")
"""


@pytest.mark.parametrize("permille", [0, 250])
def test_a_power_cut_ends_the_process_in_the_middle_of_a_sync(
    tmp_path: Path, permille: int
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CUT, str(tmp_path / "file"), str(permille)],
        check=False,
        capture_output=True,
    )
    assert (ended.returncode, b"still there" in ended.stdout) == (-signal.SIGKILL, False)
    assert (tmp_path / "file").read_bytes() == b"x" * permille


OVER = """
import sys
from chaos.nodes.control import MachineFaults
from chaos.nodes.disk import FaultyDisk
faults = MachineFaults()
disk = FaultyDisk(lambda: faults, print)
file = disk.open_append(sys.argv[1], create=True)
file.write(b"old" * 4)
file.fdatasync()
faults = MachineFaults(power_cut_permille=500)
assert file.overwrite(2, b"NEWNEW") == 6
assert disk.read_all(sys.argv[1]) == b"olNEWNEWdold"
assert disk.read_at(sys.argv[1], 1, 3) == b"lNE"
file.fdatasync()
"""


def test_a_power_cut_tears_what_is_written_in_place(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", OVER, str(tmp_path / "file")], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"olNEWdoldold"


def test_what_is_written_in_place_needs_no_room_and_a_failed_sync_loses_it(
    disk: Disk, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    file = disk.fs.open_append(str(path), create=True)
    file.write(b"old")
    disk.faults = MachineFaults(disk_full=True)
    assert file.overwrite(0, b"new") == 3
    file.fdatasync()
    disk.faults = MachineFaults(sync_fails=True)
    file.overwrite(1, b"!")
    with pytest.raises(OSError, match="error"):
        file.fdatasync()
    assert path.read_bytes() == disk.fs.read_all(str(path)) == b"new"


class Real:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ns = 100 * NS

    def __call__(self) -> int:
        return self.ns


def test_a_monotonic_clock_jumps_and_drifts_and_never_goes_back() -> None:
    real = Real()
    clock = BentClock(real, continuous=True)
    seen = [clock.now_ns()]
    for ahead_ms, permille, expected_s in (
        (0, 1_000, 1),
        (5_000, 1_000, 6),
        (5_000, 2_000, 2),
        (5_000, 500, 0.5),
        (0, 1_000, 1),  # asked to go back, it goes on from where it is
    ):
        clock.bend(ahead_ms, permille)
        real.ns += NS
        seen.append(clock.now_ns())
        assert seen[-1] - seen[-2] == expected_s * NS


def test_a_wall_clock_is_set_and_drifts_and_is_right_again() -> None:
    real = Real()
    clock = BentClock(real, continuous=False)
    clock.bend(-3_600_000, 1_000)
    assert clock.now_ns() == real.ns - 3_600 * NS
    clock.bend(0, 2_000)
    real.ns += NS
    assert clock.now_ns() == real.ns + NS
    clock.bend(0, 1_000)
    assert clock.now_ns() == real.ns


@pytest.mark.parametrize(("permille", "low_s", "high_s"), [(4_000, 0.04, 0.15), (500, 0.35, 1.5)])
def test_timers_run_on_the_bent_clock(permille: int, low_s: float, high_s: float) -> None:
    clock = BentClock(time.monotonic_ns, continuous=True)
    clock.bend(0, permille)
    with asyncio.Runner(loop_factory=lambda: BentEventLoop(clock)) as runner:
        started = time.monotonic()
        runner.run(asyncio.sleep(0.2))
        assert low_s <= time.monotonic() - started < high_s


def test_a_jump_makes_timers_due_at_once() -> None:
    clock = BentClock(time.monotonic_ns, continuous=True)
    loop = BentEventLoop(clock)

    async def jump() -> float:
        waiting = asyncio.ensure_future(asyncio.sleep(600))
        await asyncio.sleep(0)
        started = time.monotonic()
        clock.bend(700_000, 1_000)
        loop.wake()
        await waiting
        return time.monotonic() - started

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(jump()) < 5
    loop.wake()  # closed: nothing happens


def test_the_control_file_and_what_comes_back(tmp_path: Path) -> None:
    assert (read_faults(tmp_path), read_seen(tmp_path)) == ((0, MachineFaults()), 0)
    faults = MachineFaults(sync_fails=True, wall_ahead_ms=-5)
    write_faults(tmp_path, 7, faults)
    assert read_faults(tmp_path) == (7, faults)
    write_seen(tmp_path, 7)
    assert read_seen(tmp_path) == 7
    assert read_notes(tmp_path) == []
    add_note(tmp_path, "one")
    add_note(tmp_path, "two")
    assert read_notes(tmp_path) == ["one", "two"]
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
