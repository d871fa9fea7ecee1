"""Bytes of all format versions: they must be readable for ever, and those of the latest are written
the same. The second version has another vote file.

`python -m tests.golden.test_journal_golden` writes the files; that is right only for a new format
version, in a directory of its own."""

from __future__ import annotations

from pathlib import Path

from chaos.sim.disk import SimDisk
from coord.journal import Entry, Journal, SnapshotMeta, SnapshotStore, Vote, VoteFile

GOLDEN = Path(__file__).parent / "journal_v1"
LATER = Path(__file__).parent / "journal_v2"  # what is written otherwise since
META = SnapshotMeta(41, 3, 40, 2, b"\x00members\xff", 1_700_000_000_000, 7)
CHUNKS = [b"", b"state", bytes(range(256))]
VOTE = Vote(2**40, "n2", 12)
ENTRIES: list[Entry] = [
    (b"", 41, 3),
    (bytes(range(256)), 42, 3),
    (b"fourth", 43, 5),
    ("grün".encode(), 44, 2**40),
]


def write_everything() -> dict[str, bytes]:
    """All kinds of files and records, as written by this version of the program."""
    disk = SimDisk()
    journal = Journal.open(disk, "/journal", 400)
    journal.append([(b"dropped", 1, 1)])
    journal.reset([(b"", 41, 3)])
    journal.append([(bytes(range(256)), 42, 3), (b"third", 43, 3)])
    journal.sync()
    journal.append([(b"lost", 44, 4)])
    journal.truncate_from(43)
    journal.append([(b"fourth", 43, 5)])
    journal.sync()
    journal.append([("grün".encode(), 44, 2**40)])
    journal.sync()
    journal.close()
    writer = SnapshotStore(disk, "/snapshots").begin(META)
    for chunk in CHUNKS:
        writer.write(chunk)
    writer.commit()
    VoteFile(disk, "/vote").store(VOTE)
    return {path.lstrip("/").replace("/", "_"): disk.get(path) for path in disk.paths()}


def golden_files(*, latest: bool) -> dict[str, bytes]:
    directories = (GOLDEN, LATER) if latest else (GOLDEN,)
    return {file.name: file.read_bytes() for where in directories for file in where.iterdir()}


def golden_disk(*, latest: bool = False) -> SimDisk:
    disk = SimDisk()
    disk.mkdir("/journal")
    disk.mkdir("/snapshots")
    for name, data in golden_files(latest=latest).items():
        disk.put("/" + name.replace("_", "/"), data)
    return disk


def test_the_journal_is_readable() -> None:
    journal = Journal.open(golden_disk(), "/journal", 400, must_exist=True)
    assert journal.recovered == ENTRIES
    assert journal.recovery.torn_bytes == 0
    assert journal.recovery.removed_files == ()
    assert journal.segment_count >= 2


def test_the_snapshot_and_the_vote_are_readable() -> None:
    disk = golden_disk()
    store = SnapshotStore(disk, "/snapshots")
    assert store.latest() == META
    assert list(store.read_chunks(META)) == CHUNKS
    assert VoteFile(disk, "/vote", must_exist=True).load() == VOTE
    disk = golden_disk(latest=True)
    assert VoteFile(disk, "/vote", must_exist=True).load() == VOTE


def test_the_same_bytes_are_written() -> None:
    assert write_everything() == golden_files(latest=True)


if __name__ == "__main__":
    for name, data in write_everything().items():
        if golden_files(latest=False).get(name) != data:
            (LATER / name).write_bytes(data)
