"""The port through which all durable data is read and written, and its operating-system side.

Paths are plain text. Errors are `OSError`, as the system gives them; their meaning (full, damaged,
unusable) is decided by the callers. Durability follows POSIX: file content is durable after
`fdatasync`, a created, renamed or removed name is durable after `fsync_dir` of its directory.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Protocol


class AppendFile(Protocol):
    """A file open for writing, from where it ended when it was opened. One at a time of a file."""

    def write(self, data: bytes | memoryview) -> int:
        """Write behind the last write; returns how many bytes were taken, which may be fewer than
        given."""
        ...

    def overwrite(self, offset: int, data: bytes | memoryview) -> int:
        """Write over bytes that were written before, `offset` being the first: a file system that
        writes in place needs no room for it. Returns how many bytes were taken; the next `write`
        goes where it would have gone."""
        ...

    def reserve(self, size: int) -> None:
        """Have the disk keep room for the first `size` bytes. What is not written reads as zeros,
        and belongs to the file; the next write still goes behind the last."""
        ...

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes, reserved or written; the next write goes there."""
        ...

    def fdatasync(self) -> None:
        """Make content and size durable."""
        ...

    def close(self) -> None:
        """Idempotent. Does not sync."""
        ...


class FileLock(Protocol):
    """A held exclusive lock, gone when the process ends."""

    def release(self) -> None: ...

    def is_in_place(self) -> bool:
        """Whether the locked file is still the one that is found by its name."""
        ...


class FileSystem(Protocol):
    """What storage needs of a file system."""

    def open_append(self, path: str, *, create: bool = False) -> AppendFile:
        """Open an existing file, or (`create`) make a new empty one in place of any other."""
        ...

    def read_all(self, path: str) -> bytes: ...

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        ...

    def size(self, path: str) -> int: ...

    def exists(self, path: str) -> bool:
        """Whether there is something; OSError where that cannot be found out."""
        ...

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def mkdir(self, path: str) -> None:
        """Make a directory and its parents, durably; fine if it is there."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Atomically replace `target`."""
        ...

    def remove(self, path: str) -> None: ...

    def fsync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        ...

    def lock(self, path: str) -> FileLock:
        """Take an exclusive lock on a file (made if missing); BlockingIOError if another has it."""
        ...


class _OsAppendFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size

    def write(self, data: bytes | memoryview) -> int:
        taken = os.pwrite(self._descriptor, data, self._end)
        self._end += taken
        return taken

    def overwrite(self, offset: int, data: bytes | memoryview) -> int:
        return os.pwrite(self._descriptor, data, offset)

    def reserve(self, size: int) -> None:
        if not hasattr(os, "posix_fallocate"):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        if size > self._end:
            os.posix_fallocate(self._descriptor, self._end, size - self._end)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self._end = size

    def fdatasync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class _OsFileLock:
    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._locked = os.fstat(descriptor)

    def is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), self._locked)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def release(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class OsFileSystem:
    """The machine's own file system (POSIX)."""

    def open_append(self, path: str, *, create: bool = False) -> AppendFile:
        flags = os.O_RDWR | os.O_CLOEXEC
        if create:
            flags |= os.O_CREAT | os.O_TRUNC
        return _OsAppendFile(os.open(path, flags, 0o600))

    def read_all(self, path: str) -> bytes:
        with open(path, "rb", buffering=0) as file:
            return file.readall()

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            pieces = []
            while length > 0 and (piece := file.read(length)):
                pieces.append(piece)
                length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def exists(self, path: str) -> bool:
        try:
            os.stat(path)
        except FileNotFoundError:
            return False
        return True

    def listdir(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def mkdir(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(os.path.abspath(path))
        self.mkdir(parent)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        self.fsync_dir(parent)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def remove(self, path: str) -> None:
        os.remove(path)

    def fsync_dir(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, path: str) -> FileLock:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return _OsFileLock(path, descriptor)
