"""The data directory of one node: one process uses it, and it belongs to one node of one cluster.

LOCK         locked while a node runs
IDENTITY     whose directory this is (JSON with a checksum)
vote         term and vote
peers        which runs of the other nodes were seen
stopped      where the journal ended when the node was stopped in order
copied       why this directory must not be used any more: the other nodes know a later one
journal/     the write-ahead log
snapshots/   snapshots
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from zlib import crc32

from coord.journal.advice import advice_on
from coord.journal.errors import DataDirectoryError, DataDirectoryLostError, StorageDamagedError
from coord.journal.filesystem import FileLock, FileSystem, OsFileSystem
from coord.journal.io import (
    file_exists,
    list_directory,
    put_back,
    read_file,
    replace_file,
    rewrite,
    sync_directory,
)

FORMAT_VERSION = 1
COPIED_NAME = "copied"
_MAX_REASON_BYTES = 4096
_OWN_NAMES = frozenset({"vote", "journal", "snapshots"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose data this is. `initialized`: vote and journal exist, their absence is damage."""

    cluster_id: str
    node_id: str
    created_wall_ms: int
    initialized: bool = False
    format: int = FORMAT_VERSION


class DataDirectory:
    """A locked data directory. Use `DataDirectory.open`."""

    def __init__(self, fs: FileSystem, path: str, lock: FileLock, identity: Identity) -> None:
        self._fs = fs
        self._lock = lock
        self.path = path
        self.identity = identity

    @classmethod
    def open(
        cls,
        path: str,
        cluster_id: str,
        node_id: str,
        *,
        wall_ms: int = 0,
        fs: FileSystem | None = None,
    ) -> DataDirectory:
        """Lock the directory and check (or, in an empty one, write) whose it is.

        `wall_ms` is noted as the time of creation. Raises DataDirectoryError when it is in use,
        another node's or of a newer format, StorageDamagedError, StorageUnusableError,
        DiskFullError, SyncFailedError."""
        fs = fs or OsFileSystem()
        path = path.rstrip("/") or "/"
        try:
            fs.mkdir(path)
            lock = fs.lock(f"{path}/LOCK")
        except BlockingIOError as error:
            raise DataDirectoryError(
                f"data directory {path} is in use by another running node; stop that node, or "
                "give this one a directory of its own"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataDirectoryError(
                f"data directory {path} cannot be used: {reason}. What to do: {advice_on(error)}"
            ) from error
        try:
            identity = _claim(fs, path, cluster_id, node_id, wall_ms)
            _check_not_copied(fs, f"{path}/{COPIED_NAME}")
        except BaseException:
            lock.release()
            raise
        return cls(fs, path, lock, identity)

    @property
    def journal_directory(self) -> str:
        return f"{self.path}/journal"

    @property
    def vote_path(self) -> str:
        return f"{self.path}/vote"

    @property
    def clean_stop_path(self) -> str:
        return f"{self.path}/stopped"

    @property
    def peers_path(self) -> str:
        return f"{self.path}/peers"

    @property
    def snapshot_directory(self) -> str:
        return f"{self.path}/snapshots"

    @property
    def initialized(self) -> bool:
        """Whether vote and journal have to be there (`must_exist`)."""
        return self.identity.initialized

    def mark_initialized(self) -> None:
        """Note durably that vote and journal exist. To be called after a first vote was stored and
        the journal opened, before the node takes part in anything. Idempotent.

        Raises DiskFullError, SyncFailedError."""
        if not self.identity.initialized:
            identity = replace(self.identity, initialized=True)
            replace_file(self._fs, f"{self.path}/IDENTITY", _encode(identity))
            self.identity = identity

    def mark_copied(self, why: str) -> None:
        """Have every later start with this directory refused, until somebody has looked into it:
        each start is counted, so after some of them it would pass for a later one. Raises
        DiskFullError, SyncFailedError."""
        text = why.encode()[:_MAX_REASON_BYTES]
        replace_file(self._fs, f"{self.path}/{COPIED_NAME}", text)

    def check_in_place(self, active_segment: Callable[[], str]) -> None:
        """Raise DataDirectoryLostError if this is not the directory any more that was opened, or
        what is in use of it is gone. `active_segment()`: the journal's, which may be another any
        moment. Callable from any thread, and OSError says that nothing was found out."""
        if not self._lock.is_in_place():
            raise DataDirectoryLostError(self.path, "it was removed, moved or replaced")
        used = [f"{self.path}/IDENTITY", self.vote_path] if self.initialized else []
        missing = [path for path in used if not self._fs.exists(path)]
        segment = active_segment()
        if not self._fs.exists(segment) and segment == active_segment():
            missing.append(segment)
        if missing and self._lock.is_in_place():
            raise DataDirectoryLostError(self.path, f"{', '.join(missing)} was removed")

    def close(self) -> None:
        """Give the lock up. Idempotent."""
        self._lock.release()


def _check_not_copied(fs: FileSystem, file: str) -> None:
    if fs.exists(file):
        why = fs.read_at(file, 0, _MAX_REASON_BYTES).decode(errors="replace").strip()
        raise DataDirectoryError(
            f"the other nodes know a later data directory of this node than this one: {why} If it "
            f"is the right one nevertheless, and no other process runs as this node, remove {file} "
            "and start the node again"
        )


def _claim(fs: FileSystem, path: str, cluster_id: str, node_id: str, wall_ms: int) -> Identity:
    file = f"{path}/IDENTITY"
    put_back(fs, path)
    if file_exists(fs, file):
        sync_directory(fs, path)
        data = read_file(fs, file)
        identity = _decode(file, data)
        _check_owner(path, identity, cluster_id, node_id)
        rewrite(fs, file, data)
        return identity
    found = sorted(_OWN_NAMES.intersection(list_directory(fs, path)))
    if found:
        what = f"the file that says whose data this is is missing, beside {', '.join(found)}"
        raise StorageDamagedError(file, -1, what)
    identity = Identity(cluster_id, node_id, wall_ms)
    replace_file(fs, file, _encode(identity))
    return identity


def _check_owner(path: str, identity: Identity, cluster_id: str, node_id: str) -> None:
    if identity.cluster_id != cluster_id:
        raise DataDirectoryError(
            f"data directory {path} belongs to cluster {identity.cluster_id!r}, this node is "
            f"configured for cluster {cluster_id!r}; correct the cluster id, or use an empty "
            "directory"
        )
    if identity.node_id != node_id:
        raise DataDirectoryError(
            f"data directory {path} belongs to node {identity.node_id!r}, this is node "
            f"{node_id!r}; correct the node id, or use an empty directory"
        )


def _encode(identity: Identity) -> bytes:
    values = asdict(identity)
    values["crc32"] = _checksum(values)
    return (json.dumps(values, indent=2) + "\n").encode()


def _decode(path: str, data: bytes) -> Identity:
    try:
        values = json.loads(data)
        crc = values.pop("crc32")
        intact = crc == _checksum(values)
        found = int(values["format"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageDamagedError(path, 0, "it is not intact") from error
    if not intact:
        raise StorageDamagedError(path, 0, "its checksum is wrong")
    if found != FORMAT_VERSION:
        raise DataDirectoryError(
            f"{path} is of format {found}, this program reads {FORMAT_VERSION}; start the version "
            "of this program that wrote it, or a newer one"
        )
    return Identity(**values)


def _checksum(values: dict[str, object]) -> int:
    return crc32(json.dumps(values, sort_keys=True).encode())
