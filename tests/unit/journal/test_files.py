"""The journal on the machine's own file system, and the simulated disk against it."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from chaos.sim.disk import SimDisk, SimulatedCrash
from coord.journal import FileSystem, Journal, OsFileSystem, SnapshotMeta, SnapshotStore
from tests.support.journals import entries


def test_a_journal_on_real_files(tmp_path: Path) -> None:
    fs, directory = OsFileSystem(), str(tmp_path / "a" / "journal")
    journal = Journal.open(fs, directory, 1000)
    for index in range(1, 60, 3):
        journal.append(entries(index, 3))
        journal.sync()
    journal.truncate_from(58)
    journal.append(entries(58, 2, term=4))
    journal.sync()
    assert journal.drop_before(20) > 0
    journal.close()
    journal = Journal.open(fs, directory, 1000)
    first = journal.recovered[0][1]
    assert 1 < first <= 20
    assert journal.recovered == [*entries(first, 58 - first), *entries(58, 2, term=4)]
    journal.reset(entries(100, 2))
    journal.append(entries(102, 1))
    journal.sync()
    journal.close()
    last = max(Path(directory).iterdir())
    last.write_bytes(last.read_bytes()[:-1])
    journal = Journal.open(fs, directory, 1000)
    assert journal.recovered == entries(100, 2)
    assert journal.recovery.torn_path == str(last)
    assert len(list(Path(directory).iterdir())) == 1
    journal.close()


def test_snapshots_on_real_files(tmp_path: Path) -> None:
    store = SnapshotStore(OsFileSystem(), str(tmp_path / "snapshots"))
    meta = SnapshotMeta(5, 1, 4, 1, b"", 0)
    writer = store.begin(meta)
    writer.write(b"x" * 2_500_000)
    writer.commit()
    assert list(store.read_chunks(meta)) == [b"x" * 2_500_000]
    assert len(store.read_at(meta, 100, 2_000_000)) == 2_000_000
    assert store.read_at(meta, store.size(meta), 10) == b""


@pytest.fixture(params=["os", "sim"])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FileSystem, str]:
    if request.param == "os":
        return OsFileSystem(), str(tmp_path)
    disk = SimDisk()
    disk.mkdir("/d")
    return disk, "/d"


def test_both_file_systems_behave_the_same(fs: tuple[FileSystem, str]) -> None:
    system, root = fs
    file = system.open_append(f"{root}/a", create=True)
    assert file.write(b"hello ") == 6
    assert file.write(memoryview(b"world")) == 5
    file.truncate(8)
    file.write(b"!")
    file.fdatasync()
    file.close()
    file.close()
    assert system.read_all(f"{root}/a") == b"hello wo!"
    assert system.read_at(f"{root}/a", 6, 2) == b"wo"
    assert system.read_at(f"{root}/a", 6, 99) == b"wo!"
    assert system.size(f"{root}/a") == 9
    again = system.open_append(f"{root}/a")
    again.write(b"?")
    again.close()
    system.rename(f"{root}/a", f"{root}/b")
    assert not system.exists(f"{root}/a")
    assert system.read_all(f"{root}/b") == b"hello wo!?"
    room = system.open_append(f"{root}/b")
    room.reserve(14)
    room.write(b"x")
    assert system.read_all(f"{root}/b") == b"hello wo!?x\0\0\0"
    room.reserve(5)
    room.write(b"yyyyy")
    assert system.read_all(f"{root}/b") == b"hello wo!?xyyyyy"
    room.reserve(18)
    room.truncate(17)
    room.write(b"z")
    assert system.read_all(f"{root}/b") == b"hello wo!?xyyyyy\0z"
    assert room.overwrite(6, b"WO") == 2
    room.write(b"!")
    assert system.read_all(f"{root}/b") == b"hello WO!?xyyyyy\0z!"
    room.close()
    system.mkdir(f"{root}/x/y")
    system.mkdir(f"{root}/x/y")
    assert system.exists(f"{root}/x/y")
    assert system.listdir(root) == ["b", "x"]
    assert system.listdir(f"{root}/x") == ["y"]
    system.open_append(f"{root}/b", create=True).close()
    assert system.size(f"{root}/b") == 0
    system.remove(f"{root}/b")
    system.fsync_dir(root)
    lock = system.lock(f"{root}/LOCK")
    with pytest.raises(BlockingIOError):
        system.lock(f"{root}/LOCK")
    lock.release()
    system.lock(f"{root}/LOCK").release()


def test_both_say_what_is_missing(fs: tuple[FileSystem, str]) -> None:
    system, root = fs
    for call in (
        lambda: system.open_append(f"{root}/a"),
        lambda: system.open_append(f"{root}/no/a", create=True),
        lambda: system.read_all(f"{root}/a"),
        lambda: system.read_at(f"{root}/a", 0, 1),
        lambda: system.size(f"{root}/a"),
        lambda: system.remove(f"{root}/a"),
        lambda: system.rename(f"{root}/a", f"{root}/b"),
        lambda: system.listdir(f"{root}/no"),
        lambda: system.fsync_dir(f"{root}/no"),
    ):
        with pytest.raises(FileNotFoundError):
            call()


def crashed_contents(prepare: str, seeds: int = 300) -> set[bytes | None]:
    """What a file can hold after a crash."""
    found: set[bytes | None] = set()
    for seed in range(seeds):
        disk = SimDisk()
        disk.mkdir("/d")
        file = disk.open_append("/d/f", create=True)
        file.write(b"ab")
        if prepare != "unsynced":
            file.fdatasync()
        if prepare in {"named", "more"}:
            disk.fsync_dir("/d")
        if prepare == "more":
            file.write(b"cd")
        if prepare == "room":
            file.reserve(4)
            file.fdatasync()
            disk.fsync_dir("/d")
            file.write(b"cd")
        disk.crash(random.Random(seed))
        found.add(disk.get("/d/f") if disk.exists("/d/f") else None)
        with pytest.raises(OSError, match="Bad file"):
            file.write(b"x")
    return found


def test_a_simulated_crash_loses_what_it_may_and_keeps_what_it_must() -> None:
    assert crashed_contents("named") == {b"ab"}
    assert crashed_contents("unnamed") == {b"ab", None}
    assert crashed_contents("unsynced") == {b"ab", b"a", b"", b"\0\0", None}
    assert crashed_contents("more") == {b"ab", b"abc", b"abcd", b"ab\0\0"}
    assert crashed_contents("room") == {b"ab\0\0", b"abc\0", b"abcd"}


def test_a_failed_simulated_sync_is_not_mended_by_a_later_one() -> None:
    disk = SimDisk()
    file = disk.open_append("/f", create=True)
    disk.fsync_dir("/")
    file.write(b"lost")
    disk.fault = lambda operation, path: OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        file.fdatasync()
    disk.fault = None
    file.fdatasync()
    assert disk.get("/f") == b"lost"
    disk.crash(random.Random(0))
    assert disk.get("/f") == b""


def test_after_a_simulated_crash_nothing_works_until_it_is_over() -> None:
    disk = SimDisk()
    file = disk.open_append("/f", create=True)
    disk.crash_after(1)
    file.write(b"x")
    for call in (lambda: file.write(b"y"), lambda: disk.read_all("/f"), lambda: disk.remove("/f")):
        with pytest.raises(SimulatedCrash):
            call()
    disk.crash(random.Random(0))
    disk.open_append("/g", create=True)


def test_a_full_simulated_disk_takes_a_short_write_first() -> None:
    disk = SimDisk()
    disk.free_bytes = 3
    file = disk.open_append("/f", create=True)
    assert file.write(b"hello") == 3
    with pytest.raises(OSError, match="No space"):
        file.write(b"lo")
    assert disk.get("/f") == b"hel"


def test_a_full_simulated_disk_takes_what_there_is_room_reserved_for() -> None:
    disk = SimDisk()
    disk.free_bytes = 6
    file = disk.open_append("/f", create=True)
    file.reserve(4)
    with pytest.raises(OSError, match="No space"):
        file.reserve(7)
    assert file.write(b"hello") == 5
    assert file.write(b"lo") == 1
    assert disk.get("/f") == b"hellol"
