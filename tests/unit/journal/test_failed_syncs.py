"""A sync fails, the process ends, and starts again: the system holds for clean what the disk does
not have. What the node starts from has to be on the disk nevertheless, also if it is full then."""

from __future__ import annotations

import contextlib
import errno
import random
from collections import deque

import pytest

from chaos.sim.disk import SimDisk
from coord.journal import DiskFullError, Entry, SnapshotMeta, SnapshotStore, StorageError, Vote
from coord.journal.io import MOVED_SUFFIX
from coord.replication.boot import OpenStorage, open_storage
from coord.replication.storage.writes import AppendEntry, ResetLog, StoreVote, TruncateFrom, WriteOp
from tests.support.journals import entries

NODE = "/node"
SYNCS = frozenset({"fdatasync", "fsync_dir"})
STEPS: list[WriteOp | SnapshotMeta] = [
    StoreVote(1, "n2"),
    *map(AppendEntry, entries(1, 6)),
    StoreVote(2, None),
    *map(AppendEntry, entries(7, 6, term=2)),
    TruncateFrom(10),
    *map(AppendEntry, entries(10, 3, term=3)),
    StoreVote(3, "n1"),
    SnapshotMeta(9, 2, 8, 2, b"", 0),
    *map(AppendEntry, entries(13, 5, term=3)),
    SnapshotMeta(30, 4, 29, 4, b"", 0),
    ResetLog((b"base", 30, 4)),
    StoreVote(4, "n3"),
    *map(AppendEntry, entries(31, 4, term=4)),
]


def opened(disk: SimDisk) -> OpenStorage:
    return open_storage(
        NODE,
        "c",
        "n1",
        wall_ms=1,
        incarnation=1,
        fs=disk,
        segment_bytes=400,
        reserve_bytes=200,
    )


def carry_out(storage: OpenStorage, step: WriteOp | SnapshotMeta) -> None:
    if isinstance(step, SnapshotMeta):
        snapshot = storage.snapshots.begin(step)
        snapshot.write(b"state")
        snapshot.commit()
    else:
        storage.writer.carry_out(deque([(1, step)]))
        storage.writer.sync()


def run(disk: SimDisk) -> None:
    storage = opened(disk)
    for step in STEPS:
        carry_out(storage, step)


def fail_sync(disk: SimDisk, number: int, *, dies: bool = False) -> None:
    """The sync of this number, counted from now, fails; `dies`: nothing can be done after it."""
    left = number

    def fault(operation: str, _: str) -> OSError | None:
        nonlocal left
        left -= operation in SYNCS
        now = left == -1 and operation in SYNCS
        return OSError(errno.EIO, "broken") if now or (dies and left < 0) else None

    disk.fault = fault


def at_stake(disk: SimDisk) -> list[str]:
    """What a power cut now could change, of all that a node starts from."""
    found = [path for place in ("", "/journal") for path in disk.at_stake(NODE + place)]
    latest = SnapshotStore(disk, f"{NODE}/snapshots").latest()
    if latest is not None:
        name = f"{NODE}/snapshots/{latest.index:020d}-{latest.term:020d}.snapshot"
        found += [path for path in disk.at_stake(f"{NODE}/snapshots") if path == name]
    return found


def seen(storage: OpenStorage) -> tuple[list[Entry], Vote, SnapshotMeta | None]:
    """What a node starts from, but for the number of its run."""
    boot = storage.boot
    vote = Vote(boot.term, boot.voted_for, 0, boot.admission)
    return list(boot.entries), vote, boot.snapshot


def syncs_of_a_run() -> int:
    disk = SimDisk()
    count = 0

    def counted(operation: str, _: str) -> None:
        nonlocal count
        count += operation in SYNCS

    disk.fault = counted
    run(disk)
    return count


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_whichever_sync_failed(full: bool, dies: bool) -> None:
    for number in range(syncs_of_a_run()):
        disk = SimDisk()
        fail_sync(disk, number, dies=dies)
        with pytest.raises(StorageError):
            run(disk)
        disk.revive()
        disk.fault = None
        disk.free_bytes = 0 if full else None
        try:
            storage = opened(disk)
        except DiskFullError:
            # It was a new directory, and there is no room for one.
            assert full
            identity = f"{NODE}/IDENTITY"
            assert not disk.exists(identity) or b'"initialized": true' not in disk.get(identity)
            continue
        start = seen(storage)
        assert at_stake(disk) == [], f"after sync {number}"
        storage.close()
        for seed in range(3):
            disk.crash(random.Random(seed))
            storage = opened(disk)
            assert seen(storage) == start
            storage.close()


@pytest.mark.parametrize("full", [False, True])
def test_also_if_another_sync_fails_at_the_start(full: bool) -> None:
    """As often as it likes: a start that succeeds relies on nothing that came before."""
    for number in range(10, syncs_of_a_run(), 7):
        for second in range(12):
            disk = SimDisk()
            fail_sync(disk, number, dies=True)
            with pytest.raises(StorageError):
                run(disk)
            disk.revive()
            disk.free_bytes = 0 if full else None
            fail_sync(disk, second, dies=True)
            with contextlib.suppress(StorageError):
                opened(disk)
            disk.revive()
            disk.fault = None
            storage = opened(disk)
            assert at_stake(disk) == [], f"after syncs {number} and {second}"
            storage.close()


@pytest.mark.parametrize("full", [False, True])
def test_a_power_cut_at_any_moment_of_such_a_start(full: bool) -> None:
    """Nothing that was durable is lost by writing it once more."""
    disk = SimDisk()
    run(disk)
    disk.revive()
    storage = opened(disk)
    start = seen(storage)
    storage.close()
    for point in range(60):
        for seed in range(4):
            copy = disk.clone()
            copy.free_bytes = 0 if full else None
            copy.crash_after(point)
            with contextlib.suppress(Exception):
                opened(copy)
            copy.crash(random.Random(seed))
            storage = opened(copy)
            assert seen(storage) == start
            storage.close()
            assert not [path for path in copy.paths() if path.endswith(MOVED_SUFFIX)]


def test_two_equal_copies_of_a_vote_of_which_one_is_older_on_the_disk() -> None:
    """The sync of the second copy failed. The next store must not begin with the first one: torn,
    it would leave the older vote."""
    for seed in range(40):
        disk = SimDisk()
        storage = opened(disk)
        carry_out(storage, StoreVote(1, "n2"))
        fail_sync(disk, 1)
        with pytest.raises(StorageError):
            carry_out(storage, StoreVote(2, "n2"))
        disk.revive()
        disk.fault = None
        storage = opened(disk)
        assert (storage.boot.term, storage.boot.voted_for) == (2, "n2")
        disk.crash_after(seed % 4)
        with contextlib.suppress(Exception):
            carry_out(storage, StoreVote(3, "n3"))
        disk.crash(random.Random(seed))
        boot = opened(disk).boot
        assert (boot.term, boot.voted_for) in ((2, "n2"), (3, "n3"))
