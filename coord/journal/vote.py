"""The term and vote of a node (Raft section 5.2): losing them lets one node vote twice in a term,
so a damaged or missing file is never read as "no vote" or as an older one. Beside them stands how
far the node with this data directory has been admitted to its cluster.

The file has two copies, each on a page of its own with a checksum and a number that grows with each
store. A store writes over one and syncs, then over the other and syncs, so it needs no room: nodes
elect a leader on full disks too. It counts as done after the second sync. Therefore

- at every moment one copy is intact: the second is written only when the first is durable;
- an intact copy is never older than the last store that counts: that one went to both. So whichever
  copy is damaged, torn by a crash or rotten, the other is right, and the two cases need not be told
  apart. Of two different copies the one with the higher number is taken: it is durable, or was on
  its way and nobody has been told;
- if neither is intact, the vote is lost, and that is said.

The first copy to be written is never the only good one: opening makes both the same again, also on
the disk, where one may be older although both read the same (its sync failed, and the process
ended); and after a store that failed half-way the next one begins with the copy that was not
finished.

Older files have one sealed value, and are replaced by the first store."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from coord.journal.errors import DiskFullError, StorageDamagedError
from coord.journal.filesystem import FileSystem
from coord.journal.io import (
    file_exists,
    name_anew,
    open_file,
    overwrite_fully,
    put_back,
    read_file,
    replace_file,
    sync_directory,
    sync_file,
)
from coord.journal.sealed import SealError, seal, sealed_size, unseal

_OLD_MAGIC = b"COORDVOT"
_MAGIC = b"COORD2VT"
COPY_BYTES = 4096  # a page: writing over one copy touches nothing of the other


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


class _Copy(NamedTuple):
    number: int
    vote: Vote


class VoteFile:
    """The durable vote. `must_exist`: the node has run before, so there has to be one.

    `repaired`: one of the two copies was not as the other at loading, as after a crash."""

    def __init__(self, fs: FileSystem, path: str, *, must_exist: bool = False) -> None:
        self._fs = fs
        self._path = path
        self._must_exist = must_exist
        self._number = 0  # of the last store, done or not
        self._good: int | None = None  # a copy to rely on; None: there are no two copies
        self.repaired = False

    def load(self) -> Vote | None:
        """The stored vote, durable by now; None only for a node that has never run.

        Raises StorageDamagedError, SyncFailedError, DiskFullError (the file was cut short)."""
        directory = posixpath.dirname(self._path)
        put_back(self._fs, directory)
        if not file_exists(self._fs, self._path):
            if self._must_exist:
                raise StorageDamagedError(self._path, -1, "the vote of this node is missing")
            return None
        sync_directory(self._fs, directory)
        data = read_file(self._fs, self._path)
        try:
            if data.startswith(_OLD_MAGIC):
                return _vote_of(unseal(_OLD_MAGIC, data))
            return self._load_copies(data)
        except (SealError, KeyError, TypeError, ValueError) as error:
            raise StorageDamagedError(self._path, 0, f"the vote is not intact: {error}") from error

    def store(self, vote: Vote) -> None:
        """Replace the vote, durable on return, atomic under a crash. Two syncs and no room, once
        the file has its two copies.

        Raises DiskFullError (the old vote stands, or this one; the call can be repeated),
        SyncFailedError, ValueError for one that is too large."""
        self._number += 1
        copy = _encode(vote, self._number)
        if self._good is None:
            replace_file(self._fs, self._path, copy * 2)
            self._good = 0
        else:
            first = 1 - self._good
            self._write(first, copy)
            self._write(1 - first, copy)
        self._must_exist = True

    def _load_copies(self, data: bytes) -> Vote:
        """The newest of the intact copies. Afterwards both are as it is, and on the disk."""
        pages = [data[:COPY_BYTES], data[COPY_BYTES:]]
        found = [_decode(page) for page in pages]
        intact = [copy for copy in found if copy is not None]
        if not intact:
            raise SealError("neither of its copies is")
        newest = max(intact, key=lambda copy: copy.number)
        self._number = newest.number
        self._good = found.index(newest)
        self.repaired = found[0] != found[1]
        self._rewrite(pages[self._good][:COPY_BYTES].ljust(COPY_BYTES, b"\0"), len(data))
        return newest.vote

    def _rewrite(self, page: bytes, size: int) -> None:
        """Both copies and the name. Without room: the one to rely on first, as in any store."""
        try:
            replace_file(self._fs, self._path, page * 2)
        except DiskFullError:
            if size != 2 * COPY_BYTES or self._good is None:
                raise
            self._write(self._good, page)
            self._write(1 - self._good, page)
            name_anew(self._fs, self._path)

    def _write(self, which: int, copy: bytes) -> None:
        """One copy in place, durably; it is the one to rely on then."""
        file = open_file(self._fs, self._path)
        try:
            overwrite_fully(file, self._path, which * COPY_BYTES, copy)
            sync_file(file, self._path)
        finally:
            file.close()
        self._good = which


def _encode(vote: Vote, number: int) -> bytes:
    """One copy, a page long."""
    values = {"number": number, "term": vote.term, "vote": vote.voted_for, "boots": vote.boot_count}
    if vote.admission != Admission():
        values |= _values_of(vote.admission)
    sealed = seal(_MAGIC, values)
    if len(sealed) > COPY_BYTES:
        raise ValueError(f"a vote of {len(sealed)} bytes; {COPY_BYTES} at most")
    return sealed.ljust(COPY_BYTES, b"\0")


def _decode(page: bytes) -> _Copy | None:
    """None for a copy that is not intact."""
    try:
        values = unseal(_MAGIC, page[: sealed_size(_MAGIC, page)])
        return _Copy(int(values["number"]), _vote_of(values))
    except SealError:
        return None


def _vote_of(values: dict[str, Any]) -> Vote:
    return Vote(int(values["term"]), values["vote"], int(values["boots"]), _admission_of(values))


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
