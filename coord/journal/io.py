"""Small steps shared by all durable files: complete writes, syncs, atomic replacement, and the
translation of system errors into what they mean for storage."""

from __future__ import annotations

import contextlib
import errno
import posixpath
from collections.abc import Callable

from coord.journal.advice import advice_on
from coord.journal.errors import DiskFullError, StorageUnusableError, SyncFailedError
from coord.journal.filesystem import AppendFile, FileSystem

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
TEMPORARY_SUFFIX = ".tmp"
MOVED_SUFFIX = ".moved"


def is_full(error: OSError) -> bool:
    """Whether there is no space, or no quota, left."""
    return error.errno in _FULL


def storage_error(path: str, operation: str, error: OSError) -> DiskFullError | SyncFailedError:
    """What a failed write-side call means. A failed sync never counts as a full disk: what of the
    earlier writes is durable is unknown."""
    if is_full(error) and operation != "sync":
        return DiskFullError(path, advice_on(error))
    return SyncFailedError(path, operation, error.strerror or str(error), advice_on(error))


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


# At the start of a node, what its files say may be in memory only: a sync failed, the process ended
# and the system holds for clean what the disk does not have. Another sync changes nothing. So
# whatever a node starts from is written once more, and its name too.


def rewrite(fs: FileSystem, path: str, data: bytes, *, cut: bool = False) -> None:
    """Have the disk hold `data`, which is what a reader of the file finds, or (`cut`) the beginning
    of that. Where there is no room for a copy, the same bytes are written in place. A crash leaves
    the file as it was or as it should be, with `cut` also with a zero behind that."""
    try:
        replace_file(fs, path, data)
    except DiskFullError:
        rewrite_in_place(fs, path, data, cut=cut)


def rewrite_in_place(fs: FileSystem, path: str, data: bytes, *, cut: bool) -> None:
    """The same, without room, unless the file system needs some to write in place: it raises
    DiskFullError then."""
    file = open_file(fs, path)
    try:
        overwrite_fully(file, path, 0, data)
        if cut:
            # Also if the size seems right: what was cut off before may still be on the disk.
            cut_file(file, path, len(data) + 1)
            cut_file(file, path, len(data))
        sync_file(file, path)
    finally:
        file.close()
    name_anew(fs, path)


def name_anew(fs: FileSystem, path: str) -> None:
    """Make a file's name durable by giving it once more. `put_back` is what a start does first, in
    case that a crash comes in between."""
    moved = path + MOVED_SUFFIX
    for source, target in ((path, moved), (moved, path)):
        try:
            fs.rename(source, target)
        except OSError as error:
            raise storage_error(path, "rename", error) from error
    sync_directory(fs, posixpath.dirname(path))


def put_back(fs: FileSystem, directory: str) -> None:
    """Give files their names that `name_anew` has left under the other one."""
    for name in list_directory(fs, directory):
        if name.endswith(MOVED_SUFFIX):
            moved = f"{directory}/{name}"
            try:
                fs.rename(moved, moved.removesuffix(MOVED_SUFFIX))
            except OSError as error:
                raise storage_error(moved, "rename", error) from error


def cut_file(file: AppendFile, path: str, size: int) -> None:
    """Truncate an open file."""
    try:
        file.truncate(size)
    except OSError as error:
        raise storage_error(path, "truncate", error) from error


def list_directory(fs: FileSystem, path: str) -> list[str]:
    """The names in a directory."""
    try:
        return fs.listdir(path)
    except OSError as error:
        raise unreadable(path, error, "list") from error


def file_exists(fs: FileSystem, path: str) -> bool:
    """Whether there is such a file."""
    try:
        return fs.exists(path)
    except OSError as error:
        raise unreadable(path, error, "look for") from error


def file_size(fs: FileSystem, path: str) -> int:
    """Bytes of a file that is there."""
    try:
        return fs.size(path)
    except OSError as error:
        raise unreadable(path, error) from error


def read_part(fs: FileSystem, path: str, offset: int, length: int) -> bytes:
    """Some bytes of a file that is there."""
    try:
        return fs.read_at(path, offset, length)
    except OSError as error:
        raise unreadable(path, error) from error


def read_file(fs: FileSystem, path: str) -> bytes:
    """All bytes of a file that is there."""
    try:
        return fs.read_all(path)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: OSError, operation: str = "read") -> StorageUnusableError:
    """The error for what is there and cannot be read. That says nothing of what is in it."""
    return StorageUnusableError(path, operation, error.strerror or str(error), advice_on(error))
