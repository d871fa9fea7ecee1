"""Durable storage of one node: the write-ahead log, the vote, snapshots, the data directory."""

from coord.journal.clean_stop import CleanStop
from coord.journal.datadir import DataDirectory, Identity
from coord.journal.errors import (
    DataDirectoryError,
    DataDirectoryLostError,
    DiskFullError,
    SnapshotRejectedError,
    StorageDamagedError,
    StorageError,
    StorageUnusableError,
    SyncFailedError,
)
from coord.journal.filesystem import AppendFile, FileLock, FileSystem, OsFileSystem
from coord.journal.log import DEFAULT_SEGMENT_BYTES, Journal
from coord.journal.peer_runs import MAX_OWN_RUNS, PeerRun, PeerRunsFile
from coord.journal.recovery import Entry, RecoveryReport
from coord.journal.snapshot_format import SnapshotMeta
from coord.journal.snapshots import RawSnapshotWriter, SnapshotStore, SnapshotWriter
from coord.journal.vote import Admission, Founders, Standing, Vote, VoteFile

__all__ = [
    "DEFAULT_SEGMENT_BYTES",
    "MAX_OWN_RUNS",
    "Admission",
    "AppendFile",
    "CleanStop",
    "DataDirectory",
    "DataDirectoryError",
    "DataDirectoryLostError",
    "DiskFullError",
    "Entry",
    "FileLock",
    "FileSystem",
    "Founders",
    "Identity",
    "Journal",
    "OsFileSystem",
    "PeerRun",
    "PeerRunsFile",
    "RawSnapshotWriter",
    "RecoveryReport",
    "SnapshotMeta",
    "SnapshotRejectedError",
    "SnapshotStore",
    "SnapshotWriter",
    "Standing",
    "StorageDamagedError",
    "StorageError",
    "StorageUnusableError",
    "SyncFailedError",
    "Vote",
    "VoteFile",
]
