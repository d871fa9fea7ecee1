"""A stop in order leaves a mark, by which a journal that was cut off is told from a torn one."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path

import pytest

from chaos.sim.disk import SimDisk, SimulatedCrash
from coord.journal import CleanStop, DiskFullError, Journal, StorageDamagedError
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.storage.writes import AppendEntry, StoreVote
from tests.support.journals import DIRECTORY, entries, open_journal, recovered, segments
from tests.support.replication import RealCluster

PATH = "/node"


def start(disk: SimDisk) -> OpenStorage:
    return open_storage(
        PATH, "c", "n1", wall_ms=5, incarnation=7, fs=disk, segment_bytes=400, reserve_bytes=256
    )


def write(storage: OpenStorage, first: int, count: int) -> None:
    operations = [AppendEntry(entry) for entry in entries(first, count)]
    storage.writer.carry_out(deque(enumerate([StoreVote(1, "n1"), *operations])))
    storage.writer.sync()


def journal_files(disk: SimDisk) -> list[str]:
    return sorted(path for path in disk.paths() if path.startswith(f"{PATH}/journal/"))


def test_a_journal_that_is_shorter_than_at_its_stop_is_damaged() -> None:
    disk = SimDisk()
    journal = open_journal(disk)
    journal.append(entries(1, 5))
    journal.sync()
    end = journal.last_sequence
    journal.close()
    (path,) = segments(disk)
    whole = disk.get(path)
    for missing in range(1, len(whole) - 60, 7):
        disk.put(path, whole[:-missing])
        with pytest.raises(StorageDamagedError, match="its end was cut off") as damage:
            Journal.open(disk, DIRECTORY, stopped_at=end)
        assert "move its data directory away" in str(damage.value)
        assert disk.get(path) == whole[:-missing], "nothing was repaired"
    disk.put(path, whole)
    Journal.open(disk, DIRECTORY, stopped_at=end).close()
    disk.put(path, whole[:-3])
    assert len(recovered(disk)) == 4, "without a mark it is the torn tail of a crash"


def test_the_mark_is_there_after_a_stop_and_gone_in_the_next_run() -> None:
    disk = SimDisk()
    storage = start(disk)
    write(storage, 1, 20)
    storage.note_clean_stop()
    storage.close()
    mark = CleanStop(disk, f"{PATH}/stopped")
    assert mark.read() > 0
    again = start(disk)
    assert mark.read() == 0
    assert len(again.boot.entries) == 20
    again.close()
    start(disk).close()


def test_a_journal_cut_off_after_a_stop_in_order_refuses_to_start() -> None:
    for cut in (1, 30, 100):
        disk = SimDisk()
        storage = start(disk)
        write(storage, 1, 20)
        storage.note_clean_stop()
        storage.close()
        last = journal_files(disk)[-1]
        written = disk.get(last).rstrip(b"\0")
        disk.put(last, written[:-cut])
        for _ in range(2):  # nor at the next try
            with pytest.raises(StorageDamagedError, match=r"cut off|not intact"):
                start(disk)


def test_the_same_after_a_crash_is_a_torn_tail() -> None:
    disk = SimDisk()
    storage = start(disk)
    write(storage, 1, 20)
    storage.close()
    last = journal_files(disk)[-1]
    disk.put(last, disk.get(last).rstrip(b"\0")[:-1])
    assert len(start(disk).boot.entries) == 19


def test_no_mark_while_something_is_on_its_way() -> None:
    disk = SimDisk()
    storage = start(disk)
    storage.writer.carry_out(deque([(1, AppendEntry(entries(1, 1)[0]))]))
    storage.note_clean_stop()
    assert CleanStop(disk, f"{PATH}/stopped").read() == 0


def test_a_mark_that_has_no_room_is_left_out() -> None:
    disk = SimDisk()
    storage = start(disk)
    write(storage, 1, 2)
    disk.free_bytes = 0
    storage.note_clean_stop()
    storage.close()
    disk.free_bytes = None
    assert len(start(disk).boot.entries) == 2
    disk.free_bytes = 0
    with pytest.raises(DiskFullError):
        CleanStop(disk, "/x").write(1)


@pytest.mark.parametrize("content", [b"", b"x", b"COORDEND" + b"\0" * 30])
def test_a_mark_that_is_not_intact_counts_as_none(content: bytes) -> None:
    disk = SimDisk()
    storage = start(disk)
    write(storage, 1, 2)
    storage.close()
    disk.put(f"{PATH}/stopped", content)
    assert len(start(disk).boot.entries) == 2
    assert not disk.exists(f"{PATH}/stopped")


@pytest.mark.parametrize("seed", range(20))
def test_no_crash_makes_a_mark_outlive_the_first_write(seed: int) -> None:
    """Wherever the power fails in the next run, what comes then is judged by the rules of a crash:
    the node starts, and has all that was synced."""
    for changes in range(0, 60, 2):
        rng = random.Random(f"{seed}/{changes}")
        disk = SimDisk()
        storage = start(disk)
        write(storage, 1, 6)
        storage.note_clean_stop()
        storage.close()
        disk.crash_after(changes)
        try:
            storage = start(disk)
            write(storage, 7, 6)
        except SimulatedCrash:
            pass
        disk.crash(rng)
        assert len(start(disk).boot.entries) >= 6


async def test_a_node_marks_its_stop_and_tells_a_cut_journal(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, 1) as cluster:
        for number in range(5):
            await cluster.propose(b"x%d" % number)
        await cluster.stop("n1")
        assert (tmp_path / "n1" / "stopped").exists()
        await cluster.start("n1")
        assert not (tmp_path / "n1" / "stopped").exists()
        await cluster.propose(b"y")
        await cluster.stop("n1")
        segment = max((tmp_path / "n1" / "journal").iterdir())
        whole = segment.read_bytes()
        segment.write_bytes(whole.rstrip(b"\0")[:-5])
        with pytest.raises(StorageDamagedError, match="stopped in order"):
            await cluster.start("n1")
        segment.write_bytes(whole)
        await cluster.start("n1")


async def test_a_node_that_stopped_itself_leaves_no_mark(tmp_path: Path) -> None:
    async with RealCluster(tmp_path, 1) as cluster:
        await cluster.propose(b"x")
        cluster.replicators["n1"].fail(RuntimeError("not today"))
        await cluster.stop("n1")
        assert not (tmp_path / "n1" / "stopped").exists()
        await cluster.start("n1")
