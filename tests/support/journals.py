"""Journals on simulated disks."""

from __future__ import annotations

from collections.abc import Callable

from chaos.sim.disk import SimDisk
from coord.journal import DiskFullError, Entry, Journal, StorageDamagedError

DIRECTORY = "/data/journal"


def entries(first: int, count: int, term: int = 1, size: int = 20) -> list[Entry]:
    """`count` entries from index `first` whose commands tell index and term."""
    return [
        (f"{index}/{term};".encode().ljust(size, b"x"), index, term)
        for index in range(first, first + count)
    ]


def open_journal(disk: SimDisk, segment_bytes: int = 1 << 20, reserve_bytes: int = 0) -> Journal:
    return Journal.open(disk, DIRECTORY, segment_bytes, reserve_bytes=reserve_bytes)


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


class CheckedJournal:
    """A journal and a deliberately simple model of what may come back after a crash.

    `states` are the logs (complete, as if nothing were ever dropped from the front) that a crash
    now may leave; the last is what the journal holds. `floor`: entries below may be gone."""

    def __init__(self, disk: SimDisk, segment_bytes: int, reserve_bytes: int = 0) -> None:
        self.disk = disk
        self.sizes = segment_bytes, reserve_bytes
        self.journal = open_journal(disk, *self.sizes)
        self.states: list[list[Entry]] = [[]]
        self.floor = 0
        self.term = 1

    @property
    def log(self) -> list[Entry]:
        return self.states[-1]

    def append(self, count: int, size: int = 20) -> None:
        index = self.log[-1][1] + 1 if self.log else self.journal.next_index or 1
        more = entries(index, count, self.term, size)
        prefixes = [self.log + more[: n + 1] for n in range(count)]
        self._attempt(lambda: self.journal.append(more), prefixes)

    def truncate(self, index: int) -> None:
        self.term += 1
        kept = [entry for entry in self.log if entry[1] < index]
        self._attempt(lambda: self.journal.truncate_from(index), [kept])

    def reset(self, index: int) -> None:
        self.term += 1
        first = entries(index, 2, self.term)
        self._attempt(lambda: self.journal.reset(first), [first])
        self.states = self.states[-1:]
        self.floor = index

    def sync(self) -> None:
        self.journal.sync()
        self.states = self.states[-1:]

    def drop(self, index: int) -> None:
        self.floor = max(self.floor, index)
        self.journal.drop_before(index)

    def _attempt(self, action: Callable[[], object], outcomes: list[list[Entry]]) -> None:
        """Run it; a definite error leaves the states alone, a crash may leave any outcome."""
        before = self.states
        self.states = before + outcomes
        try:
            action()
        except DiskFullError:
            self.states = before
            raise

    def restart(self) -> None:
        """Open again what is on the disk and compare with the model."""
        self.journal.close()
        self.journal = open_journal(self.disk, *self.sizes)
        found = self.journal.recovered
        matching = [state for state in self.states if self._matches(found, state)]
        assert matching, f"{_short(found)} is none of {list(map(_short, self.states))}"
        self.states = [matching[-1]]

    def _matches(self, found: list[Entry], state: list[Entry]) -> bool:
        first = found[0][1] if found else self.floor
        return first <= max(self.floor, state[0][1] if state else 0) and found == [
            entry for entry in state if entry[1] >= first
        ]


def _short(log: list[Entry]) -> str:
    return ",".join(f"{index}/{term}" for _, index, term in log) or "nothing"
