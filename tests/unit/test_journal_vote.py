"""The vote file: never "no vote" by accident."""

from __future__ import annotations

import errno
import random

import pytest

from chaos.sim.disk import SimDisk, SimulatedCrash
from coord.journal import (
    Admission,
    DiskFullError,
    Standing,
    StorageDamagedError,
    SyncFailedError,
    Vote,
    VoteFile,
)

PATH = "/data/vote"


def new_disk() -> SimDisk:
    disk = SimDisk()
    disk.mkdir("/data")
    return disk


def test_store_and_load() -> None:
    disk = new_disk()
    file = VoteFile(disk, PATH)
    assert file.load() is None
    joining = Admission(2**62, Standing.FOLLOWS, (("n1", 7), ("n2", 2**62)))
    votes = (Vote(0), Vote(3, "n2", 1), Vote(2**62, None, 9), Vote(4, "knoten-ü", 2, joining))
    for vote in votes:
        file.store(vote)
        assert VoteFile(disk, PATH, must_exist=True).load() == vote
    assert disk.paths() == [PATH]


def test_a_vote_that_must_exist() -> None:
    with pytest.raises(StorageDamagedError, match="missing"):
        VoteFile(new_disk(), PATH, must_exist=True).load()
    disk = new_disk()
    file = VoteFile(disk, PATH)
    file.store(Vote(1, "n1"))
    disk.remove(PATH)
    with pytest.raises(StorageDamagedError, match="missing"):
        file.load()


def test_every_bit_flip_and_every_truncation_is_damage() -> None:
    disk = new_disk()
    file = VoteFile(disk, PATH)
    file.store(Vote(7, "n1", 3))
    data = disk.get(PATH)
    for bit in range(len(data) * 8):
        disk.put(PATH, data)
        disk.flip_bit(PATH, bit)
        with pytest.raises(StorageDamagedError, match="not intact"):
            file.load()
    for cut in range(len(data)):
        disk.put(PATH, data[:cut])
        with pytest.raises(StorageDamagedError):
            file.load()
    disk.put(PATH, data + b"\0")
    with pytest.raises(StorageDamagedError):
        file.load()


@pytest.mark.parametrize("kill_first", [False, True])
def test_a_crash_at_every_change_leaves_the_old_vote_or_the_new(kill_first: bool) -> None:
    for point in range(8):
        for seed in range(20):
            disk = new_disk()
            VoteFile(disk, PATH).store(Vote(1, "a"))
            disk.crash_after(point)
            stored = False
            try:
                VoteFile(disk, PATH).store(Vote(2, "b"))
                stored = True
            except SimulatedCrash:
                pass
            if kill_first:
                disk.revive()
                seen = VoteFile(disk, PATH, must_exist=True).load()
            disk.crash(random.Random(seed))
            vote = VoteFile(disk, PATH, must_exist=True).load()
            assert vote in {Vote(2, "b")} if stored else {Vote(1, "a"), Vote(2, "b")}
            if kill_first:
                assert vote == seen


def test_a_full_disk_keeps_the_old_vote_and_can_be_retried() -> None:
    disk = new_disk()
    file = VoteFile(disk, PATH)
    file.store(Vote(1, "a"))
    disk.free_bytes = 10
    with pytest.raises(DiskFullError):
        file.store(Vote(2, "b"))
    assert file.load() == Vote(1, "a")
    assert disk.paths() == [PATH]
    disk.free_bytes = None
    file.store(Vote(2, "b"))
    assert file.load() == Vote(2, "b")


@pytest.mark.parametrize("operation", ["fdatasync", "rename", "fsync_dir", "write"])
def test_an_io_error_is_final(operation: str) -> None:
    disk = new_disk()
    disk.fault = lambda called, path: (
        OSError(errno.EIO, "Input/output error") if called == operation else None
    )
    with pytest.raises(SyncFailedError):
        VoteFile(disk, PATH).store(Vote(2, "b"))
