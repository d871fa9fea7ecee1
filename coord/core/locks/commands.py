"""Commands about locks, and what they are answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class AcquireLock:
    """`wait_ms` 0: do not enter the queue. A waiter leaves after `wait_ms` of cluster time."""

    name: str
    holder: str
    ttl_ms: int
    wait_ms: int


@dataclass(slots=True)
class ReleaseLock:
    name: str
    fencing_token: int


@dataclass(slots=True)
class RefreshLock:
    name: str
    fencing_token: int


@dataclass(slots=True)
class CancelLockWait:
    name: str
    holder: str


class LockReply(NamedTuple):
    """`acquired` with its token; or `queued` at `position` (0 = next); or neither."""

    acquired: bool
    fencing_token: int
    queued: bool
    position: int
    revision: int
