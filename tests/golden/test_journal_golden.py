"""Bytes of the first format version: they must be readable, and are written the same, for ever.

`python -m tests.golden.test_journal_golden` writes the files; that is right only for a new format
version, in a directory of its own."""

from __future__ import annotations

from pathlib import Path

from chaos.sim.disk import SimDisk
from coord.journal import Entry, Journal, SnapshotMeta, SnapshotStore, Vote, VoteFile

GOLDEN = Path(__file__).parent / "journal_v1"
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


def golden_disk() -> SimDisk:
    disk = SimDisk()
    disk.mkdir("/journal")
    disk.mkdir("/snapshots")
    for file in sorted(GOLDEN.iterdir()):
        disk.put("/" + file.name.replace("_", "/"), file.read_bytes())
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


def test_the_same_bytes_are_written() -> None:
    assert write_everything() == {file.name: file.read_bytes() for file in GOLDEN.iterdir()}


if __name__ == "__main__":
    for name, data in write_everything().items():
        (GOLDEN / name).write_bytes(data)
