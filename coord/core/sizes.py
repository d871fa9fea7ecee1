"""How many bytes of memory a row takes: an estimate, the same on every node.

Never measured memory: quotas are compared with these numbers, and all nodes must agree. The
constants are what rows of each kind were measured to take beyond their contents
(`scripts/bytes_per_object`), indexes, timers and room to grow included."""

from __future__ import annotations

from typing import Any, Final

from coord.core import replies as r

_REPLY_BYTES: Final = 320
_ITEM_BYTES: Final = 96
_KEY_VALUE_BYTES: Final = 160


def reply_size(reply: r.Reply) -> int:
    """A kept reply."""
    if isinstance(reply, r.Submitted | r.Claimed):
        return _REPLY_BYTES + _ITEM_BYTES * len(reply.tasks)
    if isinstance(reply, r.ItemOutcomes):
        size = _REPLY_BYTES + _ITEM_BYTES * len(reply.items)
        for item in reply.items:
            if item.rejected is not None:
                size += _REPLY_BYTES
        return size
    if isinstance(reply, r.KvPutReply) and reply.prev_kv is None:
        return _REPLY_BYTES
    return _REPLY_BYTES + _nested(reply)


def _nested(value: Any) -> int:
    if isinstance(value, r.KeyValue):
        return _KEY_VALUE_BYTES + len(value.key) + len(value.value)
    if isinstance(value, tuple):
        size = 0
        for item in value:
            if isinstance(item, tuple):
                size += _ITEM_BYTES + _nested(item)
            elif isinstance(item, str | bytes):
                size += len(item)
        return size
    return 0
