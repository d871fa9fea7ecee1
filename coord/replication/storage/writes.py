"""What a replica asks its storage to make durable, in one ordered stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from coord.journal import Admission

Entry = tuple[bytes, int, int]  # command, index, term


@dataclass(frozen=True, slots=True)
class AppendEntry:
    """Write one entry behind the last."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class TruncateFrom:
    """Drop the entries from `index` on."""

    index: int


@dataclass(frozen=True, slots=True)
class ResetLog:
    """Drop the whole log and begin anew with `base` (a snapshot's last entry)."""

    base: Entry


@dataclass(frozen=True, slots=True)
class StoreVote:
    """Term and vote; `voted_for` None: nobody."""

    term: int
    voted_for: str | None


@dataclass(frozen=True, slots=True)
class StoreAdmission:
    """How far this node has been admitted to its cluster."""

    admission: Admission


@dataclass(frozen=True, slots=True)
class StoreBoot:
    """Runs of this node count from here."""

    boot_id: int


@dataclass(frozen=True, slots=True)
class Done:
    """In place of an operation that was carried out ahead of those before it."""


@dataclass(frozen=True, slots=True)
class DropBefore:
    """Entries below `index` are not needed any more. Promises nothing."""

    index: int


WriteOp = (
    AppendEntry
    | TruncateFrom
    | ResetLog
    | StoreVote
    | StoreAdmission
    | StoreBoot
    | DropBefore
    | Done
)

WriteSink = Callable[[int, WriteOp], None]
"""Takes operation number `sequence` (1, 2, 3, ...); reports back when it is durable."""
