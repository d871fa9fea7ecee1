"""One object for equal large values, while a state is restored.

In a running node, equal values are often one object: a range that was read is in the reply kept of
it and in the table, a hundred replies hold the same keys. A snapshot writes each of them out. What
is read back is made one again, or the restored state could take many times the memory."""

from __future__ import annotations

from typing import Any, Final

from coord.core.base.table import GivenRow
from coord.core.base.weight import weight_of
from coord.core.kv.commands import KeyValue
from coord.core.reply_rows import decode_kept_reply
from coord.core.sessions.records import KeptReply

_LARGE_BYTES: Final = 1_024  # smaller values are not worth looking up, except in replies
_MAX_KNOWN: Final = 200_000  # so that looking up takes little memory itself


class Sharing:
    """What was read so far. All of it belongs to the state, so nothing is held for its own sake."""

    __slots__ = ("_bytes", "_key_values")

    def __init__(self) -> None:
        self._bytes: dict[bytes, bytes] = {}
        self._key_values: dict[KeyValue, KeyValue] = {}

    def row(self, row: GivenRow) -> GivenRow:
        """An equal row, its large values shared with rows before it."""
        if weight_of(row) < _LARGE_BYTES:
            return row
        shared: GivenRow = self._shared(row)
        return shared

    def decode_kept_reply(self, row: GivenRow) -> tuple[tuple[int, int], KeptReply]:
        """The key and record of a kept reply; its key-value pairs are shared."""
        return decode_kept_reply(row, self._key_value)

    def _shared(self, value: Any) -> Any:
        kind = type(value)
        if kind is bytes:
            return self._share_bytes(value) if len(value) >= _LARGE_BYTES else value
        if kind is tuple or kind is list:
            return [self._shared(item) for item in value]
        return value

    def _share_bytes(self, value: bytes) -> bytes:
        if len(self._bytes) >= _MAX_KNOWN:
            self._bytes.clear()
        return self._bytes.setdefault(value, value)

    def _key_value(self, pair: KeyValue) -> KeyValue:
        if len(self._key_values) >= _MAX_KNOWN:
            self._key_values.clear()
        return self._key_values.setdefault(pair, pair)
