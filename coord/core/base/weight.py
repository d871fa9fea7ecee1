"""How large a row is, without writing it: about its bytes in memory, and in a snapshot."""

from __future__ import annotations

from typing import Any, Final

_VALUE_BYTES: Final = 16


def weight_of(row: Any) -> int:
    """16 for each value in the row, at any depth, and the lengths of text and bytes.

    No encoding of the row takes more than four times as much: text may take four bytes a
    character."""
    weight = _VALUE_BYTES * len(row)
    for value in row:
        kind = type(value)
        if kind is int:
            continue
        if kind is str or kind is bytes:
            weight += len(value)
        elif kind is tuple or kind is list:
            weight += weight_of(value)
    return weight
