"""Reads that need not be the newest: any node answers from what it has, also without a leader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from coord.client.transport.channel import Metadata

_ASK_KEY = "coord-max-stale-ms"
_AGE_KEY = "coord-age-ms"
_APPLIED_KEY = "coord-applied-index"


@dataclass(slots=True)
class Stale:
    """Given to a read as `stale=`, lets it be answered by the first of the endpoints that can, from
    what that node has applied. `max_ms`: how old that may be at most (None: however old); nodes
    that can not promise it are passed over, and if none can, the call ends with TooStaleError.

    Filled by the read. `age_ms`: everything that was acknowledged to anybody more than so long
    before the call is in the answer; None: the node could not tell. `applied_index`: the log index
    that the answer is from. After a read of several pages both are those of the oldest."""

    max_ms: int | None = None
    age_ms: int | None = field(default=None, init=False)
    applied_index: int = field(default=0, init=False)
    _answered: bool = field(default=False, init=False, repr=False)

    def begin(self) -> None:
        """A read begins."""
        self.age_ms, self.applied_index, self._answered = None, 0, False

    def metadata(self) -> Metadata:
        """What a call has to say."""
        return ((_ASK_KEY, "any" if self.max_ms is None else str(self.max_ms)),)

    def note(self, trailing: Iterable[tuple[str, str | bytes]]) -> None:
        """What came beside an answer."""
        told = dict(trailing)
        age_ms = _number(told.get(_AGE_KEY))
        applied_index = _number(told.get(_APPLIED_KEY)) or 0
        if self._answered:
            known = age_ms is not None and self.age_ms is not None
            age_ms = max(age_ms or 0, self.age_ms or 0) if known else None
            applied_index = min(applied_index, self.applied_index)
        self.age_ms, self.applied_index, self._answered = age_ms, applied_index, True


def _number(text: str | bytes | None) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() else None
