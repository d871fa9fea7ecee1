"""The snapshot store: complete and verified, or not there."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from chaos.sim.disk import SimDisk, SimulatedCrash
from coord.journal import (
    DiskFullError,
    SnapshotMeta,
    SnapshotRejectedError,
    SnapshotStore,
    StorageDamagedError,
)

DIRECTORY = "/data/snapshots"
CHUNKS = [b"first", b"", b"x" * 3000, b"last"]


def meta(index: int = 10, term: int = 2) -> SnapshotMeta:
    return SnapshotMeta(index, term, index - 1, term, b"members", 1234, 1)


def write(store: SnapshotStore, position: SnapshotMeta, chunks: list[bytes] = CHUNKS) -> None:
    writer = store.begin(position)
    for chunk in chunks:
        writer.write(chunk)
    writer.commit()
    writer.abort()  # nothing any more


def stored() -> tuple[SimDisk, SnapshotStore]:
    disk = SimDisk()
    store = SnapshotStore(disk, DIRECTORY)
    write(store, meta())
    return disk, store


def test_write_and_read() -> None:
    disk, store = stored()
    assert store.latest() == meta()
    assert list(store.read_chunks(meta())) == CHUNKS
    write(store, meta(30, 3), [])
    write(store, meta(20, 3), [b"z" * 5_000_000])
    assert store.latest() == meta(30, 3)
    assert store.all() == [meta(), meta(20, 3), meta(30, 3)]
    assert list(store.read_chunks(meta(30, 3))) == []
    assert list(store.read_chunks(meta(20, 3))) == [b"z" * 5_000_000]
    assert store.purge() == 1
    assert SnapshotStore(disk, DIRECTORY).all() == [meta(20, 3), meta(30, 3)]
    with pytest.raises(OSError, match="No such file"):
        store.size(meta())
    with pytest.raises(ValueError, match="newest"):
        store.purge(0)


def test_nothing_before_commit_or_after_abort() -> None:
    disk = SimDisk()
    store = SnapshotStore(disk, DIRECTORY)
    writer = store.begin(meta())
    writer.write(b"x")
    assert store.latest() is None
    writer.abort()
    writer.abort()
    assert disk.paths() == []
    with pytest.raises(ValueError, match="closed"):
        writer.commit()
    store.begin(meta()).write(b"left behind")
    disk.revive()
    assert SnapshotStore(disk, DIRECTORY).latest() is None
    assert disk.paths() == []


def read_all(disk: SimDisk) -> list[bytes]:
    store = SnapshotStore(disk, DIRECTORY)
    position = store.latest()
    assert position == meta()
    return list(store.read_chunks(position))


def test_every_bit_flip_and_every_truncation_is_damage() -> None:
    disk = SimDisk()
    write(SnapshotStore(disk, DIRECTORY), meta(), [b"ab", b"", b"cdef"])
    (path,) = disk.paths()
    data = disk.get(path)
    for bit in range(len(data) * 8):
        disk.put(path, data)
        disk.flip_bit(path, bit)
        with pytest.raises(StorageDamagedError):
            read_all(disk)
    for cut in range(len(data)):
        disk.put(path, data[:cut])
        with pytest.raises(StorageDamagedError):
            read_all(disk)
    disk.put(path, data + b"x")
    with pytest.raises(StorageDamagedError):
        read_all(disk)


def test_chunks_are_bound_to_their_order_and_snapshot() -> None:
    disk, store = stored()
    write(store, meta(11), [b"AAAA", b"BBBB"])
    path = disk.paths()[-1]
    data = disk.get(path)
    first, second = data.index(b"AAAA") - 8, data.index(b"BBBB") - 8
    swapped = data[:first] + data[second : second + 12] + data[first:second] + data[second + 12 :]
    dropped = data[:first] + data[second:]
    for changed in (swapped, dropped):
        disk.put(path, changed)
        with pytest.raises(StorageDamagedError, match="not intact"):
            list(store.read_chunks(meta(11)))


def test_a_snapshot_under_another_name_is_damage() -> None:
    disk, store = stored()
    (path,) = disk.paths()
    disk.rename(path, path.replace("10-", "11-"))
    with pytest.raises(StorageDamagedError, match="another position"):
        store.latest()


@pytest.mark.parametrize("step", [1, 7, 1000, 100_000])
def test_transfer(step: int) -> None:
    _, store = stored()
    size = store.size(meta())
    receiving = SnapshotStore(SimDisk(), DIRECTORY)
    writer = receiving.begin_raw(meta(), size)
    while writer.offset < size:
        writer.write(store.read_at(meta(), writer.offset, step))
        assert receiving.latest() is None
    writer.commit()
    assert receiving.latest() == meta()
    assert list(receiving.read_chunks(meta())) == CHUNKS


def test_every_flipped_byte_of_a_transfer_is_refused() -> None:
    _, store = stored()
    data = store.read_at(meta(), 0, store.size(meta()))
    for position in [*range(120), *range(len(data) - 60, len(data))]:
        target = SimDisk()
        receiving = SnapshotStore(target, DIRECTORY)
        changed = bytearray(data)
        changed[position] ^= 0x10
        writer = receiving.begin_raw(meta(), len(data))
        with pytest.raises(SnapshotRejectedError):  # noqa: PT012
            writer.write(bytes(changed))
            writer.commit()
        assert target.paths() == []
        with pytest.raises(SnapshotRejectedError, match="incomplete"):
            writer.commit()


def test_a_transfer_that_is_too_short_too_long_or_of_another_snapshot() -> None:
    _, store = stored()
    data = store.read_at(meta(), 0, store.size(meta()))
    target = SimDisk()
    receiving = SnapshotStore(target, DIRECTORY)
    writer = receiving.begin_raw(meta(), len(data))
    writer.write(data[:-1])
    with pytest.raises(SnapshotRejectedError, match="incomplete"):
        writer.commit()
    writer = receiving.begin_raw(meta(), len(data) - 1)
    with pytest.raises(SnapshotRejectedError, match="larger"):
        writer.write(data)
    writer = receiving.begin_raw(replace(meta(), term=9), len(data))
    with pytest.raises(SnapshotRejectedError, match="announced"):
        writer.write(data)
    writer = receiving.begin_raw(meta(), len(data) + 4)
    with pytest.raises(SnapshotRejectedError, match="after the end"):
        writer.write(data + b"more")
    assert target.paths() == []


@pytest.mark.parametrize("kill_first", [False, True])
def test_a_crash_at_every_change(kill_first: bool) -> None:
    for point in range(14):
        for seed in range(10):
            disk, store = stored()
            disk.crash_after(point)
            committed = False
            try:
                write(store, meta(20))
                committed = True
            except SimulatedCrash:
                pass
            if kill_first:
                disk.revive()
                seen = SnapshotStore(disk, DIRECTORY).latest()
            disk.crash(random.Random(seed))
            store = SnapshotStore(disk, DIRECTORY)
            latest = store.latest()
            assert latest in ({meta(20)} if committed else {meta(), meta(20)})
            assert latest is not None
            if kill_first:
                assert latest == seen
            assert list(store.read_chunks(latest)) == CHUNKS
            assert list(store.read_chunks(meta())) == CHUNKS


@pytest.mark.parametrize("free", [0, 10, 100, 2000])
def test_a_full_disk_leaves_nothing_behind(free: int) -> None:
    disk, store = stored()
    data = store.read_at(meta(), 0, store.size(meta()))
    disk.free_bytes = free
    with pytest.raises(DiskFullError):
        write(store, meta(20))
    assert len(disk.paths()) == 1
    disk.free_bytes = free
    with pytest.raises(DiskFullError):
        store.begin_raw(meta(), len(data)).write(data)
    disk.free_bytes = None
    assert len(disk.paths()) == 1
    write(store, meta(20))
    assert store.latest() == meta(20)
