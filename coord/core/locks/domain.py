"""Locks: exclusive, leased, fair, fenced."""

from __future__ import annotations

from typing import Final

from coord.core.base.holdings import LOCK, LOCK_WAIT
from coord.core.base.timers import TimerKind
from coord.core.domain import Domain, Holding
from coord.core.locks.bounds import BOUNDS
from coord.core.locks.checks import check
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.locks.digests import DIGESTS
from coord.core.locks.handlers import (
    acquire,
    cancel_wait,
    end_held_wait,
    end_wait,
    pass_on,
    pass_on_held,
    rebuild,
    refresh,
    release,
    settle_contender,
    settle_held,
)
from coord.core.locks.sentences import SENTENCES
from coord.core.locks.tables import make_tables

LOCKS: Final = Domain(
    "locks",
    tables=make_tables,
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
    sentences=SENTENCES,
    check=check,
    due={TimerKind.LOCK: pass_on, TimerKind.LOCK_WAIT: end_wait},
    holdings={
        LOCK_WAIT: Holding(end_held_wait, by_key=True),
        LOCK: Holding(pass_on_held, by_key=True),
    },
)
