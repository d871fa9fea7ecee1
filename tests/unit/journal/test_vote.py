"""The vote file: never "no vote" by accident."""

from __future__ import annotations

import contextlib
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
from coord.journal.sealed import seal
from coord.journal.vote import COPY_BYTES
from coord.replication.membership import MAX_MEMBERS

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


OLDER, NEWER = Vote(7, "n1", 3), Vote(8, "n2", 3)


def stored(*votes: Vote) -> SimDisk:
    disk = new_disk()
    file = VoteFile(disk, PATH)
    for vote in votes:
        file.store(vote)
    return disk


def loaded(disk: SimDisk) -> Vote | None:
    return VoteFile(disk, PATH, must_exist=True).load()


def used(data: bytes) -> range:
    """The bytes of the first copy that are not padding."""
    return range(len(data[:COPY_BYTES].rstrip(b"\0")))


def test_a_damaged_copy_is_of_no_effect_and_is_repaired() -> None:
    disk = stored(OLDER, NEWER)
    data = disk.get(PATH)
    bits = [start + bit for start in (0, COPY_BYTES) for bit in used(data)]
    for byte in bits:
        for bit in range(8):
            disk.put(PATH, data)
            disk.flip_bit(PATH, byte * 8 + bit)
            file = VoteFile(disk, PATH, must_exist=True)
            assert file.load() == NEWER
            assert file.repaired
            assert disk.durable(PATH) == data


def test_a_flip_in_the_padding_is_of_no_effect() -> None:
    disk = stored(NEWER)
    data = disk.get(PATH)
    for byte in range(used(data).stop, len(data)):
        disk.put(PATH, data)
        disk.flip_bit(PATH, byte * 8)
        assert loaded(disk) == NEWER


def test_damage_to_both_copies_is_never_a_vote() -> None:
    disk = stored(OLDER, NEWER)
    data = disk.get(PATH)
    for byte in used(data):
        disk.put(PATH, data)
        disk.flip_bit(PATH, byte * 8 + byte % 8)
        disk.flip_bit(PATH, (COPY_BYTES + (byte * 31) % used(data).stop) * 8)
        with pytest.raises(StorageDamagedError, match="neither of its copies is"):
            loaded(disk)


def test_every_truncation_leaves_the_vote_or_is_damage() -> None:
    disk = stored(OLDER, NEWER)
    data = disk.get(PATH)
    for cut in range(len(data)):
        disk.put(PATH, data[:cut])
        if cut < used(data).stop:
            with pytest.raises(StorageDamagedError, match="not intact"):
                loaded(disk)
        else:
            assert loaded(disk) == NEWER
            assert disk.durable(PATH) == data
    disk.put(PATH, data + b"\0")
    assert loaded(disk) == NEWER
    assert disk.durable(PATH) == data


def old_file(vote: Vote) -> bytes:
    """As it was before there were two copies."""
    values = {"term": vote.term, "vote": vote.voted_for, "boots": vote.boot_count}
    return seal(b"COORDVOT", values)


def test_an_older_file_is_replaced_by_the_first_store() -> None:
    for point in range(8):
        for seed in range(20):
            disk = new_disk()
            disk.put(PATH, old_file(OLDER))
            file = VoteFile(disk, PATH, must_exist=True)
            assert file.load() == OLDER
            assert len(disk.get(PATH)) < COPY_BYTES
            disk.crash_after(point)
            done = False
            with contextlib.suppress(SimulatedCrash):
                file.store(NEWER)
                done = True
            disk.crash(random.Random(seed))
            assert loaded(disk) in ({NEWER} if done else {OLDER, NEWER})
    assert done
    assert len(disk.get(PATH)) == 2 * COPY_BYTES


def test_every_bit_flip_and_every_truncation_of_an_older_file_is_damage() -> None:
    disk = new_disk()
    data = old_file(OLDER)
    for bit in range(len(data) * 8):
        disk.put(PATH, data)
        disk.flip_bit(PATH, bit)
        with pytest.raises(StorageDamagedError, match="not intact"):
            loaded(disk)
    for cut in range(len(data)):
        disk.put(PATH, data[:cut])
        with pytest.raises(StorageDamagedError):
            loaded(disk)
    disk.put(PATH, data + b"\0")
    with pytest.raises(StorageDamagedError):
        loaded(disk)


@pytest.mark.parametrize("kill_first", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_crash_at_every_change_leaves_the_old_vote_or_the_new(
    kill_first: bool, in_place: bool
) -> None:
    point, finished = 0, False
    while not finished:
        for seed in range(40):
            disk = stored(OLDER)
            file = VoteFile(disk, PATH)
            if in_place:
                file.load()
            disk.crash_after(point)
            finished = False
            with contextlib.suppress(SimulatedCrash):
                file.store(NEWER)
                finished = True
            seen = None
            if kill_first:
                disk.revive()
                seen = loaded(disk)
            disk.crash(random.Random(seed))
            vote = loaded(disk)
            assert vote in ({NEWER} if finished else {OLDER, NEWER})
            assert seen in (None, vote), "what was read is durable"
        point += 1
    assert point == (5 if in_place else 6)


@pytest.mark.parametrize("which", [0, 1])
def test_a_copy_that_rots_before_or_while_the_next_vote_is_stored(which: int) -> None:
    """Wherever it crashes: never an older vote than the last that was acknowledged."""
    for point in range(20):
        for seed in range(40):
            disk = stored(OLDER)
            disk.flip_bit(PATH, (which * COPY_BYTES + 30) * 8)
            disk.crash_after(point)
            done = False
            with contextlib.suppress(SimulatedCrash):
                file = VoteFile(disk, PATH, must_exist=True)
                assert file.load() == OLDER
                file.store(NEWER)
                done = True
            disk.crash(random.Random(seed))
            assert loaded(disk) in ({NEWER} if done else {OLDER, NEWER})
    assert done


def test_rot_beside_an_unfinished_store() -> None:
    """It may leave nothing to go by; never less than what was acknowledged."""
    outcomes = set()
    for point in range(4):
        for seed in range(40):
            disk = stored(OLDER)
            file = VoteFile(disk, PATH)
            file.load()
            disk.crash_after(point)
            with pytest.raises(SimulatedCrash):
                file.store(NEWER)
            disk.crash(random.Random(seed))
            disk.flip_bit(PATH, (seed % 2 * COPY_BYTES + 30) * 8)
            try:
                vote = loaded(disk)
            except StorageDamagedError:
                vote = None
            assert vote in (None, OLDER, NEWER)
            outcomes.add(vote)
    assert outcomes >= {OLDER, NEWER}


def test_a_store_in_place_costs_two_syncs_and_no_room() -> None:
    disk = stored(OLDER)
    file = VoteFile(disk, PATH)
    file.load()
    calls: list[str] = []
    disk.fault = lambda operation, path: calls.append(operation)
    disk.free_bytes = 0
    file.store(NEWER)
    assert calls == ["write", "fdatasync"] * 2
    assert loaded(disk.clone()) == NEWER


def test_a_full_disk_keeps_the_older_file_and_can_be_retried() -> None:
    disk = new_disk()
    disk.put(PATH, old_file(OLDER))
    file = VoteFile(disk, PATH)
    assert file.load() == OLDER
    disk.free_bytes = 10
    with pytest.raises(DiskFullError):
        file.store(NEWER)
    assert file.load() == OLDER
    assert disk.paths() == [PATH]
    disk.free_bytes = None
    file.store(NEWER)
    assert file.load() == NEWER


@pytest.mark.parametrize("taken", [0, 1, 40, 600])
@pytest.mark.parametrize("copy", [1, 2])
def test_a_disk_that_does_not_write_in_place_and_is_full(taken: int, copy: int) -> None:
    """A file system that copies on write may be full in the middle of either copy."""
    disk = stored(OLDER)
    file = VoteFile(disk, PATH)
    file.load()
    writes = 0

    def full(operation: str, path: str) -> OSError | None:
        nonlocal writes
        writes += operation == "write"
        return OSError(errno.ENOSPC, "full") if operation == "write" and writes == copy else None

    disk.fault = full
    with pytest.raises(DiskFullError):
        file.store(NEWER)
    unfinished = 1 if copy == 1 else 0
    disk.fault = None
    disk.write_at(PATH, unfinished * COPY_BYTES, b"x" * taken)
    survivor = disk.clone()
    assert loaded(survivor) == (OLDER if copy == 1 else NEWER)
    last = Vote(9, "n3")
    for point in range(5):
        trial = disk.clone()
        again = VoteFile(trial, PATH)
        again.load()
        trial.crash_after(point)
        with contextlib.suppress(SimulatedCrash):
            again.store(last)
        trial.crash(random.Random(point))
        assert loaded(trial) in {OLDER, NEWER, last}
    file.store(last)
    assert loaded(disk.clone()) == last


def test_the_most_founders_fit_and_too_large_a_vote_is_refused() -> None:
    def vote(members: int) -> Vote:
        founders = tuple((f"{number:064}", 2**62) for number in range(members))
        return Vote(2**63, "x" * 64, 2**62, Admission(2**62, Standing.VOTES, founders))

    disk = stored(vote(MAX_MEMBERS))
    assert loaded(disk) == vote(MAX_MEMBERS)
    file = VoteFile(disk, PATH)
    with pytest.raises(ValueError, match="4096 at most"):
        file.store(vote(60))
    assert file.load() == vote(MAX_MEMBERS)


def test_a_failed_sync_leaves_nothing_that_is_read_and_not_durable() -> None:
    """The system has the bytes, counts them as written, and the disk does not have them."""
    for failing in (1, 2):
        disk = stored(OLDER)
        file = VoteFile(disk, PATH)
        file.load()
        syncs = 0

        def fault(operation: str, path: str) -> OSError | None:
            nonlocal syncs
            syncs += operation == "fdatasync"
            failed = operation == "fdatasync" and syncs == failing  # noqa: B023
            return OSError(errno.EIO, "Input/output error") if failed else None

        disk.fault = fault
        with pytest.raises(SyncFailedError):
            file.store(NEWER)
        disk.fault = None
        disk.revive()
        assert loaded(disk) == NEWER
        assert loaded(disk.clone()) == NEWER


@pytest.mark.parametrize("operation", ["fdatasync", "rename", "fsync_dir", "write"])
def test_an_io_error_is_final(operation: str) -> None:
    disk = new_disk()
    disk.fault = lambda called, path: (
        OSError(errno.EIO, "Input/output error") if called == operation else None
    )
    with pytest.raises(SyncFailedError):
        VoteFile(disk, PATH).store(Vote(2, "b"))
    if operation in {"write", "fdatasync"}:
        disk = stored(OLDER)
        file = VoteFile(disk, PATH)
        file.load()
        disk.fault = lambda called, path: (
            OSError(errno.EIO, "Input/output error") if called == operation else None
        )
        with pytest.raises(SyncFailedError):
            file.store(NEWER)
