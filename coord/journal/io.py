"""Small steps shared by all durable files: complete writes, syncs, atomic replacement, and the
translation of system errors into what they mean for storage."""

from __future__ import annotations

import contextlib
import errno
import posixpath
from collections.abc import Callable

from coord.journal.errors import DiskFullError, StorageDamagedError, SyncFailedError
from coord.journal.filesystem import AppendFile, FileSystem

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
TEMPORARY_SUFFIX = ".tmp"


def is_full(error: OSError) -> bool:
    """Whether there is no space, or no quota, left."""
    return error.errno in _FULL


def storage_error(path: str, operation: str, error: OSError) -> DiskFullError | SyncFailedError:
    """What a failed write-side call means. A failed sync never counts as a full disk: what of the
    earlier writes is durable is unknown."""
    if is_full(error) and operation != "sync":
        return DiskFullError(path)
    return SyncFailedError(path, operation, error.strerror or str(error))


def write_fully(file: AppendFile, path: str, data: bytes | memoryview) -> None:
    """Write everything; a short write is continued until the system says why."""
    _all_of(file.write, path, data)


def overwrite_fully(file: AppendFile, path: str, offset: int, data: bytes) -> None:
    """Write everything over what the file has from `offset` on."""
    size = len(data)
    _all_of(lambda rest: file.overwrite(offset + size - len(rest), rest), path, data)


def _all_of(write: Callable[[memoryview], int], path: str, data: bytes | memoryview) -> None:
    try:
        rest = memoryview(data)
        while rest and (written := write(rest)):
            rest = rest[written:]
    except OSError as error:
        raise storage_error(path, "write", error) from error
    if rest:
        raise DiskFullError(path)


def sync_file(file: AppendFile, path: str) -> None:
    """fdatasync, or SyncFailedError."""
    try:
        file.fdatasync()
    except OSError as error:
        raise storage_error(path, "sync", error) from error


def sync_directory(fs: FileSystem, path: str) -> None:
    """fsync a directory, or SyncFailedError."""
    try:
        fs.fsync_dir(path)
    except OSError as error:
        raise storage_error(path, "sync", error) from error


def create_file(fs: FileSystem, path: str) -> AppendFile:
    """A new empty file in place of any other."""
    try:
        return fs.open_append(path, create=True)
    except OSError as error:
        raise storage_error(path, "create", error) from error


def open_file(fs: FileSystem, path: str) -> AppendFile:
    """An existing file, for appending."""
    try:
        return fs.open_append(path)
    except OSError as error:
        raise storage_error(path, "open", error) from error


def make_directory(fs: FileSystem, path: str) -> None:
    """A directory and its parents, durably."""
    try:
        fs.mkdir(path)
    except OSError as error:
        raise storage_error(path, "create", error) from error


def remove_quietly(fs: FileSystem, path: str) -> None:
    """Remove a file that nothing depends on."""
    with contextlib.suppress(OSError):
        fs.remove(path)


def publish(fs: FileSystem, temporary: str, path: str) -> None:
    """Give a synced temporary file its name, durably."""
    try:
        fs.rename(temporary, path)
    except OSError as error:
        raise storage_error(path, "rename", error) from error
    sync_directory(fs, posixpath.dirname(path))


def replace_file(fs: FileSystem, path: str, data: bytes) -> None:
    """Durably and atomically replace a file: after a crash it holds the old bytes or the new."""
    temporary = path + TEMPORARY_SUFFIX
    file = create_file(fs, temporary)
    try:
        write_fully(file, temporary, data)
        sync_file(file, temporary)
        publish(fs, temporary, path)
    except DiskFullError:
        remove_quietly(fs, temporary)
        raise
    finally:
        file.close()


def read_file(fs: FileSystem, path: str) -> bytes:
    """All bytes of a file; unreadable means damaged."""
    try:
        return fs.read_all(path)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: OSError) -> StorageDamagedError:
    """The error for a file that is there and cannot be read."""
    return StorageDamagedError(path, -1, f"it cannot be read ({error.strerror or error})")
