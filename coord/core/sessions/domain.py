"""Sessions: the liveness of clients, and the replies that are kept for them."""

from __future__ import annotations

from typing import Final

from coord.core.base.timers import TimerKind
from coord.core.domain import Domain
from coord.core.sessions.bounds import BOUNDS
from coord.core.sessions.checks import check
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession
from coord.core.sessions.digests import DIGESTS
from coord.core.sessions.handlers import (
    close_session,
    expire_session,
    keep_alive,
    open_session,
    rebuild,
)
from coord.core.sessions.tables import make_tables

SESSIONS: Final = Domain(
    "sessions",
    tables=make_tables,
    handlers={
        OpenSession: open_session,
        KeepAlive: keep_alive,
        CloseSession: close_session,
    },
    bounds=BOUNDS,
    digests=DIGESTS,
    rebuild=rebuild,
    check=check,
    due={TimerKind.SESSION: expire_session},
)
