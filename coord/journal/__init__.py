"""Durable storage of one node: the write-ahead log, the vote, snapshots, the data directory."""

from coord.journal.errors import (
    DataDirectoryError,
    DiskFullError,
    SnapshotRejectedError,
    StorageDamagedError,
    StorageError,
    SyncFailedError,
)
from coord.journal.filesystem import AppendFile, FileLock, FileSystem, OsFileSystem
from coord.journal.log import DEFAULT_SEGMENT_BYTES, Journal
from coord.journal.recovery import Entry, RecoveryReport
from coord.journal.vote import Vote, VoteFile

__all__ = [
    "DEFAULT_SEGMENT_BYTES",
    "AppendFile",
    "DataDirectoryError",
    "DiskFullError",
    "Entry",
    "FileLock",
    "FileSystem",
    "Journal",
    "OsFileSystem",
    "RecoveryReport",
    "SnapshotRejectedError",
    "StorageDamagedError",
    "StorageError",
    "SyncFailedError",
    "Vote",
    "VoteFile",
]
