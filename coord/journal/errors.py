"""What storage can say went wrong. Damage refuses to start, a full disk can be retried, and a
failed sync ends the use of the file for good."""

from __future__ import annotations

REJOIN_ADVICE = (
    "stop this node, move its data directory away, and start it again: it copies the state from "
    "the other nodes by itself, and votes again only when that is safe, for which all other nodes "
    "have to be reachable; do it on one node at a time (it is a learner in 'coord status' until it "
    "is done), never on a majority of the nodes at once"
)


class StorageError(Exception):
    """Base of everything that coord.journal raises about files."""


class StorageDamagedError(StorageError):
    """Durable data is missing or is not what was written. The node must not start with it.

    `offset` is the byte position in `path` (-1: the file as a whole)."""

    def __init__(self, path: str, offset: int, what: str, advice: str = REJOIN_ADVICE) -> None:
        place = path if offset < 0 else f"{path} at byte {offset}"
        super().__init__(f"storage is damaged: {place}: {what}. What to do: {advice}")
        self.path = path
        self.offset = offset
        self.what = what
        self.advice = advice


class StorageUnusableError(StorageError):
    """The system does not let this node read what is there. That is no damage: the data are as
    good as they were, once the cause is gone."""

    def __init__(self, path: str, operation: str, reason: str, advice: str) -> None:
        super().__init__(f"cannot {operation} {path}: {reason}. What to do: {advice}")
        self.path = path
        self.operation = operation
        self.reason = reason
        self.advice = advice


class DiskFullError(StorageError):
    """No space or quota left (ENOSPC, EDQUOT). Definite: nothing of the failed call is kept, and
    the same call can succeed once there is space."""

    def __init__(self, path: str, advice: str = "") -> None:
        what_to_do = f". What to do: {advice}" if advice else ""
        super().__init__(f"no space left to write {path}{what_to_do}")
        self.path = path
        self.advice = advice


class SyncFailedError(StorageError):
    """A write or sync failed in a way that leaves the file's durable content unknown.

    Never retried: after a failed fsync the kernel may have dropped the dirty pages, and a second
    fsync would report success for data that is gone (Rebello et al., "Can Applications Recover
    from fsync Failures?", USENIX ATC 2020). The node has to stop; recovery reads what is there."""

    def __init__(self, path: str, operation: str, reason: str, advice: str = "") -> None:
        what_to_do = f". What to do: {advice}" if advice else ""
        text = f"{operation} of {path} failed: {reason}; the node has to stop{what_to_do}"
        super().__init__(text)
        self.path = path
        self.operation = operation
        self.reason = reason
        self.advice = advice


class SnapshotRejectedError(StorageError):
    """A received snapshot is not what was announced; it was dropped, nothing else changed."""


class DataDirectoryLostError(StorageError):
    """The data directory was removed or replaced under a running node, which has to stop: nothing
    that it writes is there any more for the next start."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            f"data directory {path}: {what} while this node was running. It stops, as nothing that "
            "it would confirm could be found again. What to do: if the directory was moved, move "
            "it back and start the node again; if another one was put in its place, find out which "
            "is right before starting again; if it is gone, start the node with an empty one: it "
            "copies the state from the other nodes, and votes again when that is safe; never do "
            "that on a majority of the nodes at once"
        )
        self.path = path


class DataDirectoryError(StorageError):
    """The data directory cannot be used by this node: in use, another node's, another cluster's,
    or of a newer format. The message says which and what to do."""
