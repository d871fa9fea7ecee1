"""A simulated disk behind the FileSystem port: it remembers what is durable, and can lose the rest.

Model. A file has the content a reader sees and the content that survives a power cut; writes,
truncations and reservations since its last successful fdatasync lie between the two. The same holds
for the names in a directory and fsync_dir. `crash` keeps, as the random numbers have it, some of
what was unsynced: a prefix of a file's operations, with the last writes possibly torn at a byte or
missing single sectors (which read as before, or as zeros), and a prefix or a subset of a
directory's operations. Each rename is atomic. Directories themselves and locks are simple: made
durably, gone with the crash.

Faults. A full disk takes short writes and then raises ENOSPC. A failed sync loses what it should
have made durable, even if a later sync succeeds. A bit can be flipped. A crash can be set for the
n-th change from now; from there on every call raises SimulatedCrash until `crash` is called.
"""

from __future__ import annotations

import errno
import os
import posixpath
import random
from collections.abc import Callable
from dataclasses import dataclass, field

SECTOR_BYTES = 512

Fault = Callable[[str, str], OSError | None]


class SimulatedCrash(Exception):  # noqa: N818 - an event of the simulation, not an error of the disk
    """The machine lost power during this call."""


@dataclass(slots=True, eq=False)
class _Write:
    offset: int
    data: bytes


@dataclass(slots=True, eq=False)
class _Truncate:
    size: int


@dataclass(slots=True, eq=False)
class _Reserve:
    size: int


_Change = _Write | _Truncate | _Reserve


@dataclass(slots=True, eq=False)
class _Inode:
    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    unsynced: list[_Change] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _NameChange:
    """One atomic change of a directory: names to link (inode) or unlink (None)."""

    names: dict[str, _Inode | None]


@dataclass(slots=True, eq=False)
class _Directory:
    names: dict[str, _Inode] = field(default_factory=dict)
    durable: dict[str, _Inode] = field(default_factory=dict)
    unsynced: list[_NameChange] = field(default_factory=list)

    def change(self, names: dict[str, _Inode | None]) -> None:
        _apply_names(self.names, names)
        self.unsynced.append(_NameChange(names))


class _SimFile:
    def __init__(self, disk: SimDisk, path: str, inode: _Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._boot = disk.boots
        self._end = len(inode.content)

    def write(self, data: bytes | memoryview) -> int:
        self._step("write")
        reserved = min(len(data), len(self._inode.content) - self._end)
        taken = bytes(data[: reserved + self._disk.space_for(len(data) - reserved)])
        if data and not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._change(_Write(self._end, taken))
        self._end += len(taken)
        return len(taken)

    def overwrite(self, offset: int, data: bytes | memoryview) -> int:
        self._step("write")
        taken = bytes(data[: max(0, len(self._inode.content) - offset)])
        self._change(_Write(offset, taken))
        return len(taken)

    def reserve(self, size: int) -> None:
        self._step("reserve")
        wanted, free = size - len(self._inode.content), self._disk.free_bytes
        if free is not None and wanted > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._disk.space_for(max(0, wanted))
        self._change(_Reserve(size))

    def truncate(self, size: int) -> None:
        self._step("truncate")
        self._change(_Truncate(size))
        self._end = size

    def fdatasync(self) -> None:
        inode = self._inode
        try:
            self._step("fdatasync")
        except OSError:
            inode.unsynced.clear()  # the pages count as clean from now on, and are not on disk
            raise
        content = bytearray(inode.durable)
        for change in inode.unsynced:
            _apply(content, change)
        inode.durable = bytes(content)
        inode.unsynced.clear()

    def close(self) -> None:
        self._boot = -1

    def _step(self, operation: str) -> None:
        if self._boot != self._disk.boots:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._disk.step(operation, self._path)

    def _change(self, change: _Change) -> None:
        _apply(self._inode.content, change)
        self._inode.unsynced.append(change)


class _SimLock:
    def __init__(self, locks: set[str], path: str) -> None:
        self._locks = locks
        self._path = path

    def release(self) -> None:
        self._locks.discard(self._path)

    def is_in_place(self) -> bool:
        return self._path in self._locks


class SimDisk:
    """A disk of one simulated machine. Implements `coord.journal.FileSystem`.

    `free_bytes` None: never full. `fault`, if set, is asked before every change (operation, path)
    and may give the error to raise."""

    def __init__(self) -> None:
        self.free_bytes: int | None = None
        self.fault: Fault | None = None
        self.boots = 0
        self.changes = 0  # changing calls so far
        self.crashed = False
        self._crash_at: int | None = None
        self._directories: dict[str, _Directory] = {"/": _Directory()}
        self._locks: set[str] = set()

    # Faults

    def crash_after(self, changes: int) -> None:
        """Lose power instead of the change after the next `changes` ones."""
        self._crash_at = self.changes + changes

    def crash(self, rng: random.Random) -> None:
        """Lose power now and come up again: open files and locks are gone, unsynced changes are
        kept or lost as `rng` has it. Other faults stay as they are set."""
        self.revive()
        for directory in self._directories.values():
            kept = _surviving(directory.unsynced, rng)
            for change in kept:
                _apply_names(directory.durable, change.names)
            directory.names = dict(directory.durable)
            directory.unsynced = []
        inodes = {id(i): i for d in self._directories.values() for i in d.names.values()}
        for inode in inodes.values():
            inode.durable = _crashed_content(inode, rng)
            inode.content = bytearray(inode.durable)
            inode.unsynced = []

    def revive(self) -> None:
        """Kill the process instead: open files and locks are gone, what it wrote stays readable,
        durable or not."""
        self.boots += 1
        self.crashed = False
        self._crash_at = None
        self._locks = set()

    def flip_bit(self, path: str, bit: int) -> None:
        """Change one bit of a file, in what is durable and what is read."""
        self.put(path, _flipped(self.get(path), bit))

    def get(self, path: str) -> bytes:
        """A file's content as a reader sees it."""
        return bytes(self._inode(path).content)

    def durable(self, path: str) -> bytes | None:
        """What of a file would survive a power cut at the least; None: not even its name."""
        directory = self._directories.get(posixpath.dirname(path))
        inode = directory.durable.get(posixpath.basename(path)) if directory is not None else None
        return None if inode is None else inode.durable

    def at_stake(self, directory: str) -> list[str]:
        """Files in a directory that a power cut now could change or lose."""
        found = self._directories.get(directory)
        if found is None:
            return []
        return [
            f"{directory}/{name}"
            for name, inode in sorted(found.names.items())
            if found.durable.get(name) is not inode or inode.durable != inode.content
        ]

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """Write anywhere in a file, as through a memory map. Takes no heed of a full disk."""
        self.step("write", path)
        inode = self._inode(path)
        change = _Write(offset, data)
        _apply(inode.content, change)
        inode.unsynced.append(change)

    def write_back(self) -> None:
        """Make everything durable, as the system does by itself now and then. Not a change."""
        for directory in self._directories.values():
            directory.durable = dict(directory.names)
            directory.unsynced.clear()
            for inode in directory.names.values():
                inode.durable = bytes(inode.content)
                inode.unsynced.clear()

    def put(self, path: str, data: bytes) -> None:
        """Make `data` the durable content of a file."""
        directory = self._directory(path)
        inode = _Inode(bytearray(data), data)
        directory.names[posixpath.basename(path)] = inode
        directory.durable[posixpath.basename(path)] = inode

    def paths(self) -> list[str]:
        """All files."""
        return sorted(
            posixpath.join(path, name)
            for path, directory in self._directories.items()
            for name in directory.names
        )

    def clone(self) -> SimDisk:
        """A disk of its own with the durable content of this one and no faults."""
        copy = SimDisk()
        for path, directory in self._directories.items():
            copy._directories[path] = _Directory()
            for name, inode in directory.durable.items():
                copy.put(posixpath.join(path, name), inode.durable)
        return copy

    def step(self, operation: str, path: str) -> None:
        """Before each change: crash or fail if that is set."""
        if self.crashed or (self._crash_at is not None and self.changes >= self._crash_at):
            self.crashed = True
            raise SimulatedCrash(f"{operation} {path}")
        self.changes += 1
        error = self.fault(operation, path) if self.fault is not None else None
        if error is not None:
            raise error

    def space_for(self, wanted: int) -> int:
        """Take up to `wanted` bytes of the free space."""
        if self.free_bytes is None:
            return wanted
        taken = min(wanted, self.free_bytes)
        self.free_bytes -= taken
        return taken

    # FileSystem

    def open_append(self, path: str, *, create: bool = False) -> _SimFile:
        self._check_up(path)
        if create:
            self.step("create", path)
            directory, name = self._directory(path), posixpath.basename(path)
            if name not in directory.names:
                directory.change({name: _Inode()})
            elif directory.names[name].content:
                inode = directory.names[name]
                _apply(inode.content, _Truncate(0))
                inode.unsynced.append(_Truncate(0))
        return _SimFile(self, path, self._inode(path))

    def read_all(self, path: str) -> bytes:
        self._check_up(path)
        return bytes(self._inode(path).content)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        self._check_up(path)
        return bytes(self._inode(path).content[offset : offset + length])

    def size(self, path: str) -> int:
        self._check_up(path)
        return len(self._inode(path).content)

    def exists(self, path: str) -> bool:
        self._check_up(path)
        directory = self._directories.get(posixpath.dirname(path))
        known = directory is not None and posixpath.basename(path) in directory.names
        return known or path in self._directories

    def listdir(self, path: str) -> list[str]:
        self._check_up(path)
        if path not in self._directories:
            raise _missing(path)
        children = [p for p in self._directories if p != "/" and posixpath.dirname(p) == path]
        return sorted([*self._directories[path].names, *map(posixpath.basename, children)])

    def mkdir(self, path: str) -> None:
        self._check_up(path)
        while path not in self._directories:
            self._directories[path] = _Directory()
            path = posixpath.dirname(path)

    def rename(self, source: str, target: str) -> None:
        self.step("rename", target)
        inode = self._inode(source)
        directory = self._directory(source)
        if directory is not self._directory(target):
            raise OSError(errno.EXDEV, "only within one directory")
        directory.change({posixpath.basename(source): None, posixpath.basename(target): inode})

    def remove(self, path: str) -> None:
        self.step("remove", path)
        self._inode(path)
        self._directory(path).change({posixpath.basename(path): None})

    def fsync_dir(self, path: str) -> None:
        directory = self._directories.get(path)
        if directory is None:
            raise _missing(path)
        try:
            self.step("fsync_dir", path)
        except OSError:
            directory.unsynced.clear()
            raise
        for change in directory.unsynced:
            _apply_names(directory.durable, change.names)
        directory.unsynced.clear()

    def lock(self, path: str) -> _SimLock:
        self._check_up(path)
        if path in self._locks:
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        self._locks.add(path)
        return _SimLock(self._locks, path)

    def _check_up(self, path: str) -> None:
        if self.crashed:
            raise SimulatedCrash(path)

    def _directory(self, path: str) -> _Directory:
        directory = self._directories.get(posixpath.dirname(path))
        if directory is None:
            raise _missing(path)
        return directory

    def _inode(self, path: str) -> _Inode:
        inode = self._directory(path).names.get(posixpath.basename(path))
        if inode is None:
            raise _missing(path)
        return inode


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def _apply(content: bytearray, change: _Change) -> None:
    match change:
        case _Reserve(size):
            content.extend(bytes(max(0, size - len(content))))
        case _Truncate(size):
            content.extend(bytes(max(0, size - len(content))))
            del content[size:]
        case _Write(offset, data):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data


def _apply_names(names: dict[str, _Inode], changes: dict[str, _Inode | None]) -> None:
    for name, inode in changes.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _surviving(changes: list[_NameChange], rng: random.Random) -> list[_NameChange]:
    if rng.random() < 0.5:
        return changes[: rng.randint(0, len(changes))]
    return [change for change in changes if rng.random() < 0.5]


def _crashed_content(inode: _Inode, rng: random.Random) -> bytes:
    """Durable content plus a prefix of the unsynced changes, its last writes possibly torn."""
    content = bytearray(inode.durable)
    kept = inode.unsynced[: rng.randint(0, len(inode.unsynced))]
    cuts = [n for n, change in enumerate(kept) if isinstance(change, _Truncate)]
    ordered = cuts[-1] + 1 if cuts else 0
    for change in kept[:ordered]:
        _apply(content, change)
    for change in kept[ordered:]:
        if isinstance(change, _Reserve):
            _apply(content, change)
    _apply_torn(content, [c for c in kept[ordered:] if isinstance(c, _Write)], rng)
    return bytes(content)


def _apply_torn(content: bytearray, writes: list[_Write], rng: random.Random) -> None:
    """Apply writes in full, up to some byte, or with single sectors lost. What is not written there
    reads as before; a file that would have grown is shorter, or has zeros there."""
    before = bytes(content)
    for change in writes:
        _apply(content, change)
    start = min((change.offset for change in writes), default=len(content))
    stop = max((change.offset + len(change.data) for change in writes), default=start)
    match rng.choice(("whole", "cut", "sectors")):
        case "cut":
            cut = rng.randint(start, stop)
            content[cut:] = before[cut:]
        case "sectors":
            while start < stop:
                end = min(stop, start - start % SECTOR_BYTES + SECTOR_BYTES)
                if rng.random() < 0.3:
                    content[start:end] = before[start:end].ljust(end - start, b"\0")
                start = end
        case _:
            pass
