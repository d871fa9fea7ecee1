"""A crash at every change the journal makes to its disk, and disks that are full or fail."""

from __future__ import annotations

import contextlib
import errno
import random
from collections.abc import Callable

import pytest

from chaos.sim.disk import SimDisk, SimulatedCrash
from coord.journal import DiskFullError, Journal, SyncFailedError
from coord.journal.format import RECORD_HEADER_BYTES
from tests.support.journals import CheckedJournal, entries, open_journal, recovered, segments

SEGMENT_BYTES = 400
RESERVE_BYTES = (0, 180)


def roll(checked: CheckedJournal) -> None:
    for _ in range(8):
        checked.append(2)
        checked.sync()


def roll_unsynced(checked: CheckedJournal) -> None:
    for _ in range(8):
        checked.append(3)


def drop(checked: CheckedJournal) -> None:
    roll(checked)
    checked.drop(6)
    checked.drop(14)
    checked.append(1)
    checked.sync()
    checked.drop(17)


def drop_after_cut(checked: CheckedJournal) -> None:
    roll(checked)
    checked.truncate(9)
    checked.append(4)
    checked.sync()
    roll(checked)
    checked.drop(12)
    checked.drop(25)


def reset_ahead(checked: CheckedJournal) -> None:
    roll(checked)
    checked.append(1)
    checked.reset(100)
    checked.append(3)
    checked.sync()


def reset_twice(checked: CheckedJournal) -> None:
    roll(checked)
    checked.reset(9)
    roll(checked)
    checked.drop(14)
    checked.reset(3)
    checked.append(1)


def cut(checked: CheckedJournal) -> None:
    roll(checked)
    checked.truncate(3)
    checked.append(2)
    checked.truncate(1)
    checked.append(1)
    checked.sync()


SCRIPTS = [roll, roll_unsynced, drop, drop_after_cut, reset_ahead, reset_twice, cut]


@pytest.mark.parametrize("kill_only", [False, True], ids=["power", "kill"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_crash_at_every_change(script: Callable[[CheckedJournal], None], kill_only: bool) -> None:
    point = 0
    finished = False
    while not finished:
        finished = True
        for seed in range(4):
            rng = random.Random(1000 * point + seed)
            disk = SimDisk()
            checked = CheckedJournal(disk, SEGMENT_BYTES, RESERVE_BYTES[seed % 2])
            disk.crash_after(point)
            try:
                script(checked)
            except SimulatedCrash:
                finished = False
            if kill_only:
                disk.revive()
            else:
                disk.crash(rng)
            checked.restart()
            # It goes on from there, through a power cut while opening or right after.
            disk.crash_after(rng.randint(0, 9))
            try:
                checked.restart()
                checked.append(2)
                checked.sync()
            except SimulatedCrash:
                pass
            disk.crash(rng)
            checked.restart()
            roll(checked)
            disk.crash(rng)
            checked.restart()
        point += 1
    assert point > 20


@pytest.mark.parametrize("kill_only", [False, True], ids=["power", "kill"])
def test_a_crash_at_every_change_of_the_first_opening(kill_only: bool) -> None:
    for point in range(6):
        for seed in range(10):
            disk = SimDisk()
            disk.crash_after(point)
            with contextlib.suppress(SimulatedCrash):
                open_journal(disk)
            if kill_only:
                disk.revive()
            else:
                disk.crash(random.Random(seed))
            journal = open_journal(disk)
            assert journal.recovered == []
            journal.append(entries(1, 2))
            journal.sync()
            disk.crash(random.Random(seed))
            assert recovered(disk) == entries(1, 2)


def test_drop_before_knows_what_a_reset_wrote() -> None:
    disk = SimDisk()
    journal = open_journal(disk, 100)
    journal.reset(entries(100, 2))
    journal.append(entries(102, 1))
    assert journal.segment_count == 2
    assert journal.drop_before(101) == 0
    assert journal.drop_before(102) == 1


@pytest.mark.parametrize("free", range(0, 1200, 7))
def test_a_full_disk_keeps_nothing_of_the_failed_call(free: int) -> None:
    disk = SimDisk()
    checked = CheckedJournal(disk, SEGMENT_BYTES, RESERVE_BYTES[free % 2])
    checked.append(1)
    disk.free_bytes = free
    with contextlib.suppress(DiskFullError):
        while True:
            checked.append(2)
    size = checked.journal.size_bytes
    files = [disk.get(path) for path in segments(disk) if path.endswith(".wal")]
    assert size == sum(len(data.rstrip(b"\0")) for data in files)
    assert free % 2 or size == sum(map(len, files))
    with pytest.raises(DiskFullError):
        checked.append(30)
    with pytest.raises(DiskFullError):
        checked.reset(50)
    copy = disk.clone()
    copy.crash(random.Random(free))
    CheckedJournal(copy, SEGMENT_BYTES)
    disk.free_bytes = None
    checked.append(2)
    checked.truncate(2)
    checked.append(2)
    checked.sync()
    disk.crash(random.Random(free))
    checked.restart()
    assert len(checked.log) == 3


def test_the_last_of_the_room_is_spare_for_small_records() -> None:
    """When no more room can be had, large entries are refused before any of it is used."""
    disk = SimDisk()
    checked = CheckedJournal(disk, 100_000, 4_000)
    disk.free_bytes = 10_000
    with contextlib.suppress(DiskFullError):
        while True:
            checked.append(1)
    calls: list[str] = []
    disk.fault = lambda operation, path: calls.append(operation)
    with pytest.raises(DiskFullError):
        checked.append(1)
    assert calls == ["reserve", "reserve"], "nothing is written, so nothing is rolled back"
    for _ in range(5):
        checked.append(1, size=1)
        checked.truncate(checked.journal.next_index - 1)
        checked.append(1, size=8)
        checked.sync()
    with contextlib.suppress(DiskFullError):
        while True:
            checked.append(1, size=1)
    disk.crash(random.Random(1))
    checked.restart()
    disk.free_bytes = None
    checked.append(1)


def test_a_file_system_that_reserves_nothing_is_written_to_the_end() -> None:
    disk = SimDisk()
    journal = open_journal(disk, 100_000, 4_000)
    disk.free_bytes = 10_000
    disk.fault = lambda operation, path: (
        OSError(errno.EOPNOTSUPP, "not supported") if operation == "reserve" else None
    )
    with contextlib.suppress(DiskFullError):
        while True:
            journal.append(entries(journal.next_index or 1, 1))
    assert disk.free_bytes < RECORD_HEADER_BYTES + 20


def test_a_full_disk_does_not_stop_dropping() -> None:
    disk = SimDisk()
    checked = CheckedJournal(disk, SEGMENT_BYTES)
    roll(checked)
    disk.free_bytes = 0
    with pytest.raises(DiskFullError):
        checked.append(1)
    assert checked.journal.drop_before(10) > 0
    with pytest.raises(DiskFullError):
        checked.truncate(12)


def test_a_failed_call_does_not_come_back_after_a_crash() -> None:
    for seed in range(30):
        disk = SimDisk()
        checked = CheckedJournal(disk, 100_000)
        checked.append(1)
        disk.free_bytes = 3 * (RECORD_HEADER_BYTES + 20) + 5
        with pytest.raises(DiskFullError):
            checked.append(4)
        disk.crash(random.Random(seed))
        assert recovered(disk) == entries(1, 1)


def fail_on(operation: str, code: int = errno.EIO) -> Callable[[str, str], OSError | None]:
    def fault(called: str, path: str) -> OSError | None:
        return OSError(code, "Input/output error") if called == operation else None

    return fault


def everything_refuses(journal: Journal) -> None:
    for call in (
        journal.sync,
        lambda: journal.append(entries(journal.next_index, 1)),
        lambda: journal.truncate_from(1),
        lambda: journal.drop_before(1),
        lambda: journal.reset(()),
    ):
        with pytest.raises(SyncFailedError):
            call()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failed_sync_ends_the_use_of_the_journal(code: int) -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 2))
    journal.sync()
    journal.append(entries(3, 2))
    disk.fault = fail_on("fdatasync", code)
    with pytest.raises(SyncFailedError, match="has to stop"):
        journal.sync()
    changes = disk.changes
    disk.fault = None
    everything_refuses(journal)
    assert disk.changes == changes
    journal.close()
    # A later process must not take for durable what the failed sync left in the page cache.
    journal = open_journal(disk)
    assert journal.recovered == entries(1, 2)
    journal.append(entries(3, 1, term=2))
    journal.sync()
    disk.crash(random.Random(1))
    assert recovered(disk) == [*entries(1, 2), *entries(3, 1, term=2)]


def test_what_a_failed_sync_left_is_made_durable_at_the_next_opening() -> None:
    """The process dies between the failed sync and the cut: the system has the bytes, counts them
    as written, and the disk does not have them."""
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 2))
    journal.sync()
    journal.append(entries(3, 1))
    disk.fault = lambda operation, path: OSError(errno.EIO, "simulated")
    disk.crash_after(1)
    with pytest.raises(SimulatedCrash):
        journal.sync()
    disk.fault = None
    disk.revive()
    assert recovered(disk) == entries(1, 3)
    assert recovered(disk.clone()) == entries(1, 3)


def test_opening_without_room_for_a_copy() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 2))  # no sync; the process is killed
    disk.free_bytes = 10
    open_journal(disk).close()
    disk.free_bytes = None
    assert recovered(disk.clone()) == entries(1, 2)


@pytest.mark.parametrize("operation", ["write", "truncate", "fdatasync", "fsync_dir", "rename"])
def test_an_io_error_anywhere_is_final(operation: str) -> None:
    disk = SimDisk()
    checked = CheckedJournal(disk, SEGMENT_BYTES)
    checked.append(3)
    checked.sync()
    disk.fault = fail_on(operation)
    if operation == "truncate":
        disk.free_bytes = 10
    with pytest.raises(SyncFailedError):
        checked.append(1 if operation in {"write", "truncate"} else 5)
    disk.fault = None
    disk.free_bytes = None
    everything_refuses(checked.journal)
    disk.crash(random.Random(2))
    checked.restart()


def test_an_error_while_dropping_is_final_and_harmless() -> None:
    disk = SimDisk()
    checked = CheckedJournal(disk, SEGMENT_BYTES)
    roll(checked)
    disk.fault = fail_on("remove")
    with pytest.raises(SyncFailedError, match="remove"):
        checked.drop(10)
    everything_refuses(checked.journal)
    disk.fault = None
    disk.crash(random.Random(3))
    checked.restart()
    assert checked.journal.drop_before(10) > 0


def test_short_writes_are_continued() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    real = disk.space_for
    disk.space_for = lambda wanted: real(min(wanted, 7))  # type: ignore[method-assign]
    journal.append(entries(1, 3))
    journal.sync()
    assert recovered(disk) == entries(1, 3)


def test_sync_costs_one_fdatasync_and_nothing_when_there_is_nothing_new() -> None:
    disk = SimDisk()
    calls: list[str] = []
    disk.fault = lambda operation, path: calls.append(operation)
    journal = open_journal(disk)
    journal.append(entries(1, 5))
    journal.append(entries(6, 5))
    calls.clear()
    assert journal.unsynced
    journal.sync()
    journal.sync()
    assert not journal.unsynced
    assert calls == ["fdatasync"]


def test_a_closed_journal_says_so() -> None:
    journal = open_journal(SimDisk())
    journal.close()
    journal.close()
    with pytest.raises(ValueError, match="closed"):
        journal.append(entries(1, 1))


def test_drop_before_keeps_segments_with_a_later_cut_entry() -> None:
    disk = SimDisk()
    checked = CheckedJournal(disk, SEGMENT_BYTES)
    roll(checked)
    checked.truncate(3)
    checked.append(1)
    checked.sync()
    before = segments(disk)
    assert checked.journal.drop_before(3) == 0
    assert segments(disk) == before
    assert recovered(disk, SEGMENT_BYTES) == checked.log


def test_reset_to_nothing_and_on() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 5))
    journal.reset((), next_index=40)
    assert journal.next_index == 40
    assert recovered(disk.clone()) == []
    with pytest.raises(ValueError, match="does not continue"):
        journal.append(entries(41, 1))
    journal.append(entries(40, 2))
    journal.sync()
    assert recovered(disk.clone()) == entries(40, 2)
    assert len(segments(disk)) == 1
