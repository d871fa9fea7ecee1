"""When Python's cyclic garbage collector runs in a node: never for long.

Theory of operation. Nearly everything in a node is freed by reference counts; the collector only
finds cycles (mostly of exceptions and their frames). What it costs is looking: a full collection
walks every tracked object, 0.3 s for a million tasks, in which the node answers nobody. So full
collections do not come by themselves, and young ones are kept small. From time to time
`ScheduledGc` looks at what has grown old since the last time, unless that is so much that it can
only be the state's growth. What stays is frozen: set apart and not looked at again (reference
counts still free it; only a cycle that ends after it was frozen is kept for good).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Objects made before the young are looked at; young collections before the middle-aged are: each
# collection takes a few ms at most. Full ones do not come by themselves.
_THRESHOLDS: Final = (5_000, 5, 1_000_000_000)
_PERIOD_S: Final = 30.0
# Of the middle-aged: each can have added some 30,000 objects to the old, so this is some 20 ms.
_QUICK_COLLECTIONS: Final = 2


class ScheduledGc:
    """Collects in the node of this process, on its event loop, from `start` to `stop`."""

    def __init__(self, period_s: float = _PERIOD_S) -> None:
        self._period_s = period_s
        self._timer: asyncio.TimerHandle | None = None
        self._before: tuple[int, int, int] | None = None
        self._seen = 0

    def start(self) -> None:
        """Set apart all that is there now."""
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        self._seen = _middle_collections()
        self._schedule()

    def stop(self) -> None:
        """As before `start`. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None

    def look(self) -> None:
        """Collect what has grown old since the last time, if that is quick; set the rest apart."""
        collections = _middle_collections() - self._seen
        if not collections:
            return
        if collections <= _QUICK_COLLECTIONS:
            gc.collect()
        gc.freeze()
        self._seen = _middle_collections()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._period_s, self._fire)

    def _fire(self) -> None:
        self.look()
        self._schedule()


@contextmanager
def building() -> Iterator[None]:
    """No collections while very many objects are made that all stay; they are frozen in the end."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def _middle_collections() -> int:
    found: int = gc.get_stats()[1]["collections"]
    return found
