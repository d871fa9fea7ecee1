"""The term and vote of a node (Raft section 5.2): losing them lets one node vote twice in a term,
so a damaged or missing file is never read as "no vote". Beside them stands how far the node with
this data directory has been admitted to its cluster."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from coord.journal.errors import StorageDamagedError
from coord.journal.filesystem import FileSystem
from coord.journal.io import read_file, replace_file, sync_directory
from coord.journal.sealed import SealError, seal, unseal

_MAGIC = b"COORDVOT"


class Standing(IntEnum):
    """What a node may do with this data directory. Stored; only ever rises."""

    SILENT = 0  # takes no part: it may have forgotten what it promised
    FOLLOWS = 1  # copies the log and acknowledges; does not vote
    VOTES = 2


Founders = tuple[tuple[str, int], ...]
"""Node ids with the incarnation of each, in order of the ids."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`incarnation`: drawn at random with the data directory, 0 in those that are older than this
    field. `founders`: the members with which this node founds, or founded, the cluster; chosen
    once, () if it was not among them. Without any of it a node votes: it is an older one."""

    incarnation: int = 0
    standing: Standing = Standing.VOTES
    founders: Founders = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """`voted_for` is the node id voted for in `term`, None if nobody. `boot_count` >= 0."""

    term: int
    voted_for: str | None = None
    boot_count: int = 0
    admission: Admission = Admission()


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
            admission = _admission_of(values)
        except (SealError, KeyError, TypeError, ValueError) as error:
            raise StorageDamagedError(self._path, 0, f"the vote is not intact: {error}") from error
        return Vote(int(term), voted_for, int(boot_count), admission)

    def store(self, vote: Vote) -> None:
        """Replace the vote, durable on return, atomic under a crash.

        Raises DiskFullError (definite: the old vote stands), SyncFailedError."""
        values = {"term": vote.term, "vote": vote.voted_for, "boots": vote.boot_count}
        if vote.admission != Admission():
            values |= _values_of(vote.admission)
        replace_file(self._fs, self._path, seal(_MAGIC, values))
        self._must_exist = True


def _values_of(admission: Admission) -> dict[str, Any]:
    return {
        "incarnation": admission.incarnation,
        "standing": int(admission.standing),
        "founders": [list(founder) for founder in admission.founders],
    }


def _admission_of(values: dict[str, Any]) -> Admission:
    if "incarnation" not in values:
        return Admission()
    founders = tuple((str(node_id), int(number)) for node_id, number in values["founders"])
    return Admission(int(values["incarnation"]), Standing(values["standing"]), founders)
