"""The kinds of things that a session holds, which end with it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class HoldingKind(IntEnum):
    """Also the order in which an ending session lets go. Waits come before locks: a lock must not
    be passed to another holder of the same session. What is let go is stored, so a number is never
    changed."""

    LOCK_WAIT = 1  # key: (lock name, ticket)
    LOCK = 2  # key: lock name
    TASK = 3  # key: serial


class SessionEnd(IntEnum):
    """Why a session ended."""

    EXPIRED = 1
    CLOSED = 2


LOCK_WAIT: Final = HoldingKind.LOCK_WAIT
LOCK: Final = HoldingKind.LOCK
TASK: Final = HoldingKind.TASK
