"""Files for the published library: what its journal and serializer modules do with `open`, `os`,
`mmap`, `shutil` and `gzip` happens on the simulated disk of the node that is being driven.

An mmap of the library's is never synced, so whatever it wrote is unsynced until the system writes
it back by itself: every `WRITE_BACK_S` here.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pysyncobj.journal as journal_module
import pysyncobj.serializer as serializer_module
import pysyncobj.syncobj as library

from chaos.sim.disk import SimDisk

WRITE_BACK_S = 1.0
LOOK_S = 0.0005


class _Current:
    """Which node is being driven, and its disk, clock and random numbers. Looking at the clock
    takes a moment: the library has loops that only time ends."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new run begins."""
        self.disk = SimDisk()
        self.random: Callable[[], float] = lambda: 0.5
        self._clock: Callable[[], float] = lambda: 0.0
        self._latest: dict[int, float] = {}  # by disk, of this run
        self._looked = 0

    def enter(self, disk: SimDisk, clock: Callable[[], float], random: Callable[[], float]) -> None:
        """This node is driven now."""
        self.disk, self.random, self._clock = disk, random, clock
        self._looked = 0

    def now(self) -> float:
        self._looked += 1
        now = self._clock() + self._looked * LOOK_S
        latest = self._latest[id(self.disk)] = max(now, self._latest.get(id(self.disk), 0.0))
        return latest


CURRENT = _Current()


class _File:
    """A file object as far as the library uses one."""

    def __init__(self, path: str, mode: str) -> None:
        self._path = path
        self._disk = CURRENT.disk
        self._offset = 0
        self._content = b""
        if "w" in mode:
            self._disk.open_append(path, create=True).close()
        elif "a" in mode:
            self._offset = self._disk.size(path)
        else:  # the file as it is now, whatever takes its name later
            self._content = self._disk.read_all(path)

    def write(self, data: bytes) -> int:
        self._disk.write_at(self._path, self._offset, bytes(data))
        self._offset += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        end = len(self._content) if size < 0 else self._offset + size
        data = self._content[self._offset : end]
        self._offset += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._offset = offset if whence == 0 else self._offset + offset
        return self._offset

    def tell(self) -> int:
        return self._offset

    def flush(self) -> None:
        """Nothing is held back here; and nothing is made durable."""

    def close(self) -> None:
        """Nothing to do."""

    def fileno(self) -> Any:
        """What the `mmap` here takes instead of a number."""
        return self

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        return self._path


class _Mmap:
    """A memory map of a whole file."""

    def __init__(self, file: _File, length: int) -> None:
        self._path = file.path
        self._disk = CURRENT.disk
        if self._disk.size(self._path) == 0:
            raise ValueError("cannot mmap an empty file")

    def size(self) -> int:
        return self._disk.size(self._path)

    def resize(self, size: int) -> None:
        self._disk.open_append(self._path).truncate(size)

    def __setitem__(self, where: slice, data: bytes) -> None:
        self._disk.write_at(self._path, where.start, data)

    def __getitem__(self, where: slice) -> bytes:
        return self._disk.read_at(self._path, where.start, where.stop - where.start)

    def flush(self) -> None:
        self._disk.open_append(self._path).fdatasync()

    def close(self) -> None:
        """Nothing to do."""


def _rename(source: str, target: str) -> None:
    CURRENT.disk.rename(source, target)


def _exists(path: str) -> bool:
    return CURRENT.disk.exists(path)


def _random() -> float:
    return CURRENT.random()


class _Gzip(gzip.GzipFile):
    """Without the time of day in its header."""

    def __init__(self, **arguments: Any) -> None:
        try:
            super().__init__(mtime=0, **arguments)
        except BaseException:
            # The process died at the header. What is left of it must not be written when this
            # object goes.
            self.fileobj = None  # type: ignore[assignment]  # as close() sets it
            raise


@contextmanager
def library_on_simulation() -> Iterator[None]:
    """Within it, the library's modules see the simulated world."""
    patches: list[tuple[Any, str, Any]] = [
        (journal_module, "open", _File),
        (journal_module, "os", SimpleNamespace(path=SimpleNamespace(exists=_exists))),
        (journal_module, "mmap", SimpleNamespace(mmap=_Mmap)),
        (journal_module, "shutil", SimpleNamespace(move=_rename)),
        (serializer_module, "open", _File),
        (serializer_module, "gzip", SimpleNamespace(GzipFile=_Gzip)),
        (serializer_module, "atomicReplace", _rename),
        (library, "os", SimpleNamespace(path=SimpleNamespace(isfile=_exists))),
        (library, "random", SimpleNamespace(random=_random)),
        (library, "monotonicTime", CURRENT.now),
    ]
    CURRENT.reset()
    missing = object()
    before = [(module, name, module.__dict__.get(name, missing)) for module, name, _ in patches]
    log = logging.getLogger("pysyncobj")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL + 1)
        for module, name, value in patches:
            setattr(module, name, value)
        yield
    finally:
        log.setLevel(level)
        for module, name, value in before:
            if value is missing:
                delattr(module, name)
            else:
                setattr(module, name, value)
