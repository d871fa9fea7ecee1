"""Cluster time: milliseconds that only the log moves.

The leader stamps every entry with (last stamp in its log + monotonic time that passed since it
became leader). Without a leader it stands still, so neither a jump of the wall clock nor a failover
shortens a lease (the idea of LogCabin's cluster clock). It also stands still while the leader can
write nothing, because then nobody can renew a lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class ClusterClock:
    """Reads cluster time. `monotonic_ns` and `wall_ns` are replaced in tests."""

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._running = False
        self._last_stamp_ms = 0
        self._base_ms = 0
        self._base_ns = 0

    @property
    def running(self) -> bool:
        """Whether time passes here, not only with the stamps that arrive."""
        return self._running

    def now_ms(self) -> int:
        """Cluster time now. Never decreases while this node leads; the last stamp otherwise."""
        if not self._running:
            return self._last_stamp_ms
        return self._base_ms + (self._monotonic_ns() - self._base_ns) // 1_000_000

    def wall_ms(self) -> int:
        """Unix time, for people and calendars."""
        return self._wall_ns() // 1_000_000

    def start(self) -> None:
        """This node became leader: time runs on from the last stamp."""
        if not self._running:
            self._rebase()
            self._running = True

    def stop(self) -> None:
        """This node leads no more: time stands still until another leader's stamps arrive."""
        self._running = False

    def on_applied(self, stamp_ms: int) -> None:
        """An entry with this stamp was applied. A later time than ours is taken over."""
        if stamp_ms <= self._last_stamp_ms:
            return
        self._last_stamp_ms = stamp_ms
        if self._running and stamp_ms > self.now_ms():
            self._rebase()

    def restored(self, stamp_ms: int) -> None:
        """The state was replaced by a snapshot whose last stamp is this."""
        self._last_stamp_ms = stamp_ms
        self._rebase()

    def _rebase(self) -> None:
        self._base_ms = self._last_stamp_ms
        self._base_ns = self._monotonic_ns()
