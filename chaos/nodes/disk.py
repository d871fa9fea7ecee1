"""A disk that can be slow, full, failing, or lose power, in front of the machine's own file system.

What is written while a power cut or failing syncs are set stays in this process until it is synced,
so it is lost when the process ends, as on a machine without power. A cut comes during a sync: a
share of the unsynced bytes reaches the disk, the record it ends in is torn. A failing sync loses
what it should have made durable for good: the pages count as clean afterwards. Names (created,
renamed, removed) count as durable at once; the simulator loses those as well.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.nodes.control import MachineFaults
from coord.journal import AppendFile, FileLock, OsFileSystem


class FaultyDisk:
    """Implements `coord.journal.FileSystem`. `faults` is asked at every call; `note` is told what
    was done to the node."""

    def __init__(self, faults: Callable[[], MachineFaults], note: Callable[[str], None]) -> None:
        self.faults, self.note = faults, note
        self.mutex = threading.RLock()
        self._unsynced: dict[str, _Unsynced] = {}  # by path; the files open there share it
        self._real = OsFileSystem()

    def open_append(self, path: str, *, create: bool = False) -> AppendFile:
        if create:
            self.refuse_if_full()
        with self.mutex:
            file = self._real.open_append(path, create=create)
            if create:
                self._unsynced.pop(path, None)
            unsynced = self._unsynced.setdefault(path, _Unsynced(0))
            if not unsynced.data:
                unsynced.start = self._real.size(path)
            return _FaultyFile(self, path, file, unsynced)

    def read_all(self, path: str) -> bytes:
        with self.mutex:
            data, unsynced = self._real.read_all(path), self._unsynced.get(path)
            return data if unsynced is None else unsynced.over(data)

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        with self.mutex:
            unsynced = self._unsynced.get(path)
            if unsynced is None or unsynced.empty:
                return self._real.read_at(path, offset, length)
            return self.read_all(path)[offset : offset + length]

    def size(self, path: str) -> int:
        with self.mutex:
            unsynced = self._unsynced.get(path)
            return max(self._real.size(path), unsynced.stop if unsynced is not None else 0)

    def exists(self, path: str) -> bool:
        return self._real.exists(path)

    def listdir(self, path: str) -> list[str]:
        return self._real.listdir(path)

    def mkdir(self, path: str) -> None:
        if not self._real.exists(path):
            self.refuse_if_full()
        self._real.mkdir(path)

    def rename(self, source: str, target: str) -> None:
        with self.mutex:
            self._real.rename(source, target)
            unsynced = self._unsynced.pop(source, None)
            self._unsynced.pop(target, None)
            if unsynced is not None:
                self._unsynced[target] = unsynced

    def remove(self, path: str) -> None:
        with self.mutex:
            self._real.remove(path)
            self._unsynced.pop(path, None)

    def fsync_dir(self, path: str) -> None:
        self.before_sync(path)
        self._real.fsync_dir(path)

    def lock(self, path: str) -> FileLock:
        return self._real.lock(path)

    def refuse_if_full(self) -> None:
        if self.faults().disk_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def before_sync(self, path: str) -> None:
        """Wait as long as the disk takes; raise if it fails."""
        faults = self.faults()
        if faults.sync_delay_ms:
            time.sleep(faults.sync_delay_ms / 1_000)
        if faults.sync_fails:
            self.note(f"a sync of {os.path.basename(path)} failed")
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@dataclass(slots=True)
class _Unsynced:
    """What a file would have from `start` on, and, with offsets, in place of what it has."""

    start: int
    data: bytearray = field(default_factory=bytearray)
    in_place: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def stop(self) -> int:
        return self.start + len(self.data)

    @property
    def empty(self) -> bool:
        return not self.data and not self.in_place

    @property
    def size(self) -> int:
        return len(self.data) + sum(len(data) for _, data in self.in_place)

    def over(self, content: bytes) -> bytes:
        """What a reader of the file sees; `content` is what the disk has."""
        seen = bytearray(content)
        if self.data:
            seen[self.start : self.stop] = self.data
        for offset, data in self.in_place:
            seen[offset : offset + len(data)] = data
        return bytes(seen)

    def clear(self) -> None:
        self.data.clear()
        self.in_place.clear()


class _FaultyFile:
    """A file open for writing. `path`: its name when it was opened."""

    def __init__(self, disk: FaultyDisk, path: str, real: AppendFile, unsynced: _Unsynced) -> None:
        self._disk, self._path, self._real, self._unsynced = disk, path, real, unsynced

    def write(self, data: bytes | memoryview) -> int:
        self._disk.refuse_if_full()
        with self._disk.mutex:
            if self._stays_here():
                self._unsynced.data += data
                return len(data)
            self._write_unsynced()
            return self._write(data)

    def overwrite(self, offset: int, data: bytes | memoryview) -> int:
        """Needs no room."""
        with self._disk.mutex:
            if self._stays_here():
                self._unsynced.in_place.append((offset, bytes(data)))
                return len(data)
            self._write_unsynced()
            return self._real.overwrite(offset, data)

    def reserve(self, size: int) -> None:
        self._disk.refuse_if_full()
        with self._disk.mutex:
            self._real.reserve(size)

    def truncate(self, size: int) -> None:
        with self._disk.mutex:
            self._write_unsynced()
            self._real.truncate(size)
            self._unsynced.start = size

    def fdatasync(self) -> None:
        try:
            self._disk.before_sync(self._path)
        except OSError:
            with self._disk.mutex:
                self._unsynced.clear()
            raise
        share = self._disk.faults().power_cut_permille
        with self._disk.mutex:
            if share is not None and not self._unsynced.empty:
                self._lose_power(share)
            self._write_unsynced()
        self._real.fdatasync()

    def close(self) -> None:
        self._real.close()

    def _stays_here(self) -> bool:
        """Whether what is written now stays in this process until it is synced."""
        faults = self._disk.faults()
        return faults.power_cut_permille is not None or faults.sync_fails

    def _write(self, data: bytes | bytearray | memoryview) -> int:
        taken = self._real.write(memoryview(data))
        self._unsynced.start += taken
        return taken

    def _write_unsynced(self) -> None:
        unsynced = self._unsynced
        while unsynced.data:
            del unsynced.data[: self._write(bytes(unsynced.data))]
        while unsynced.in_place:
            offset, data = unsynced.in_place.pop(0)
            self._real.overwrite(offset, data)

    def _lose_power(self, share_permille: int) -> None:
        size = self._unsynced.size
        kept = left = size * share_permille // 1_000
        while left and self._unsynced.data:
            written = self._write(bytes(self._unsynced.data[:left]))
            del self._unsynced.data[:written]
            left -= written
        for offset, data in self._unsynced.in_place:
            left -= self._real.overwrite(offset, data[:left])
        name = os.path.basename(self._path)
        self._disk.note(f"power lost: {kept} of {size} unsynced bytes of {name} remain")
        os.kill(os.getpid(), signal.SIGKILL)
