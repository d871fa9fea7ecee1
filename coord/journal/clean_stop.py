"""The mark of a stop in order: where the journal ended then.

After a crash the end of a journal may be torn, and what is torn was promised to nobody. After a
stop in order its end is known, so a journal that is shorter at the next start has lost something
that was promised. The mark is removed, durably, before anything is written to the journal again; a
mark that is not intact counts as none, and so does its absence: what older builds leave behind.
"""

from __future__ import annotations

import posixpath

from coord.journal.filesystem import FileSystem
from coord.journal.io import file_exists, read_file, replace_file, storage_error, sync_directory
from coord.journal.sealed import SealError, seal, unseal

_MAGIC = b"COORDEND"


class CleanStop:
    """The mark in the file at `path`."""

    def __init__(self, fs: FileSystem, path: str) -> None:
        self._fs = fs
        self._path = path

    def read(self) -> int:
        """The number of the last record of the journal when it was stopped; 0: not known. Raises
        StorageUnusableError."""
        if not file_exists(self._fs, self._path):
            return 0
        data = read_file(self._fs, self._path)
        try:
            return int(unseal(_MAGIC, data)["sequence"])
        except (SealError, KeyError, TypeError, ValueError):
            return 0

    def write(self, sequence: int) -> None:
        """All that was written is durable, the last record being this one. Raises DiskFullError,
        SyncFailedError (there is no mark then, or it is intact)."""
        replace_file(self._fs, self._path, seal(_MAGIC, {"sequence": sequence}))

    def remove(self) -> None:
        """Durably, if there is one. Raises DiskFullError, SyncFailedError."""
        if not file_exists(self._fs, self._path):
            return
        try:
            self._fs.remove(self._path)
        except OSError as error:
            raise storage_error(self._path, "remove", error) from error
        sync_directory(self._fs, posixpath.dirname(self._path))
