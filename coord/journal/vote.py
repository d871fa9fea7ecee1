"""The term and vote of a node (Raft section 5.2): losing them lets one node vote twice in a term,
so a damaged or missing file is never read as "no vote"."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from coord.journal.errors import StorageDamagedError
from coord.journal.filesystem import FileSystem
from coord.journal.io import read_file, replace_file, sync_directory
from coord.journal.sealed import SealError, seal, unseal

_MAGIC = b"COORDVOT"


@dataclass(frozen=True, slots=True)
class Vote:
    """`voted_for` is the node id voted for in `term`, None if nobody. `boot_count` >= 0."""

    term: int
    voted_for: str | None = None
    boot_count: int = 0


class VoteFile:
    """The durable vote. `must_exist`: the node has run before, so there has to be one."""

    def __init__(self, fs: FileSystem, path: str, *, must_exist: bool = False) -> None:
        self._fs = fs
        self._path = path
        self._must_exist = must_exist

    def load(self) -> Vote | None:
        """The stored vote, durable by now; None only for a node that has never run.

        Raises StorageDamagedError, SyncFailedError."""
        if not self._fs.exists(self._path):
            if self._must_exist:
                raise StorageDamagedError(self._path, -1, "the vote of this node is missing")
            return None
        sync_directory(self._fs, posixpath.dirname(self._path))
        try:
            values = unseal(_MAGIC, read_file(self._fs, self._path))
            term, voted_for, boot_count = values["term"], values["vote"], values["boots"]
        except (SealError, KeyError, TypeError) as error:
            raise StorageDamagedError(self._path, 0, f"the vote is not intact: {error}") from error
        return Vote(int(term), voted_for, int(boot_count))

    def store(self, vote: Vote) -> None:
        """Replace the vote, durable on return, atomic under a crash.

        Raises DiskFullError (definite: the old vote stands), SyncFailedError."""
        values = {"term": vote.term, "vote": vote.voted_for, "boots": vote.boot_count}
        replace_file(self._fs, self._path, seal(_MAGIC, values))
        self._must_exist = True
