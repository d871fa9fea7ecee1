"""Journals on simulated disks."""

from __future__ import annotations

from chaos.sim.disk import SimDisk
from coord.journal import Entry, Journal, StorageDamagedError

DIRECTORY = "/data/journal"


def entries(first: int, count: int, term: int = 1, size: int = 20) -> list[Entry]:
    """`count` entries from index `first` whose commands tell index and term."""
    return [
        (f"{index}/{term};".encode().ljust(size, b"x"), index, term)
        for index in range(first, first + count)
    ]


def open_journal(disk: SimDisk, segment_bytes: int = 1 << 20) -> Journal:
    return Journal.open(disk, DIRECTORY, segment_bytes)


def recovered(disk: SimDisk, segment_bytes: int = 1 << 20) -> list[Entry]:
    """What a journal opened on the disk now has."""
    journal = open_journal(disk, segment_bytes)
    journal.close()
    return journal.recovered


def segments(disk: SimDisk) -> list[str]:
    return [path for path in disk.paths() if path.startswith(DIRECTORY)]


def outcome(disk: SimDisk, segment_bytes: int = 1 << 20) -> list[Entry] | str:
    """The recovered entries, or "damaged"."""
    try:
        return recovered(disk, segment_bytes)
    except StorageDamagedError:
        return "damaged"
