"""Locks: exclusive, leased, fair, fenced."""

from __future__ import annotations

from typing import Final

from coord.core.base.timers import TimerKind
from coord.core.domain import Domain
from coord.core.locks.bounds import BOUNDS
from coord.core.locks.checks import check
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.locks.digests import DIGESTS
from coord.core.locks.handlers import (
    acquire,
    cancel_wait,
    end_wait,
    pass_on,
    rebuild,
    refresh,
    release,
    settle_contender,
    settle_held,
)

LOCKS: Final = Domain(
    "locks",
    handlers={ReleaseLock: release, RefreshLock: refresh},
    session_handlers={AcquireLock: acquire, CancelLockWait: cancel_wait},
    bounds=BOUNDS,
    digests=DIGESTS,
    settle={
        AcquireLock: settle_contender,
        CancelLockWait: settle_contender,
        ReleaseLock: settle_held,
        RefreshLock: settle_held,
    },
    rebuild=rebuild,
    check=check,
    due={TimerKind.LOCK: pass_on, TimerKind.LOCK_WAIT: end_wait},
)
