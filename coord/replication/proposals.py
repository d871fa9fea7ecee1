"""What a leader has taken and not applied yet, bounded in number and bytes."""

from __future__ import annotations

from collections import deque

from coord.replication.port import BusyError
from coord.replication.settings import ReplicaSettings


class Proposals:
    """Sizes of the entries that are on their way, by index."""

    def __init__(self, settings: ReplicaSettings) -> None:
        self._settings = settings
        self._sizes: deque[tuple[int, int]] = deque()
        self._total = 0

    def check_room(self, size: int) -> None:
        """Whether another entry is taken. Raises BusyError, ValueError if it is too large."""
        settings = self._settings
        if size > settings.max_entry_bytes:
            raise ValueError(f"an entry of {size} bytes; {settings.max_entry_bytes} max")
        full = len(self._sizes) >= settings.max_pending_entries
        if full or self._total > settings.max_pending_bytes:
            raise BusyError(settings.busy_retry_after_ms)

    def taken(self, index: int, size: int) -> None:
        """An entry was appended."""
        self._sizes.append((index, size))
        self._total += size

    def applied(self, index: int) -> None:
        """Everything up to `index` is applied."""
        while self._sizes and self._sizes[0][0] <= index:
            self._total -= self._sizes.popleft()[1]

    def clear(self) -> None:
        """This node does not lead any more."""
        self._sizes.clear()
        self._total = 0
