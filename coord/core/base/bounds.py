"""Building blocks of bounds: each says why a field is refused, or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected

_CONTROL: Final = frozenset(chr(code) for code in (*range(0x20), 0x7F))
_UINT64_TOP: Final = 1 << 63
MAX_TOKEN: Final = (1 << 64) - 1
Check = Callable[[Any, int], Rejected | None]
"""Why a command is refused at a feature level, or None. Reads nothing but the command."""


def validate_name(field: str, value: str, *, empty_allowed: bool = False) -> Rejected | None:
    """A name: text of 1 to `max_name_bytes` UTF-8 bytes without ASCII control characters."""
    # Nearly all names; within ASCII, printable means the same in every version of Python.
    if value.isascii() and value.isprintable() and 0 < len(value) <= LIMITS.max_name_bytes:
        return None
    if not value:
        return None if empty_allowed else invalid(field, f"{field} must not be empty")
    return _check_text(field, value, LIMITS.max_name_bytes)


def too_many(field: str, limit: int, unit: str, count: int = 0) -> Rejected:
    """The refusal of a list that is too long; its length may not be known."""
    return too_large(field, count or f"more than {limit}", limit, unit)


def invalid(field: str, message: str) -> Rejected:
    return Rejected(Reason.INVALID_ARGUMENT, message, (("field", field),))


def too_large(field: str, size: int | str, limit: int, unit: str) -> Rejected:
    return Rejected(
        Reason.TOO_LARGE,
        f"{field} holds {size} {unit}; at most {limit} are allowed",
        (("field", field), ("limit", str(limit))),
    )


def out_of_range(field: str, value: int, low: int, high: int, also: str = "") -> Rejected:
    # A negative number in an unsigned field arrives as its two's complement: say what was meant.
    shown = f"{value} ({value - (1 << 64)} sent as unsigned)" if value >= _UINT64_TOP else value
    return invalid(field, f"{field} is {shown}; allowed is {also}{low} to {high}")


def _check_text(field: str, value: str, limit: int) -> Rejected | None:
    """Bounded UTF-8 text on one line."""
    if not value.isprintable() if value.isascii() else not _CONTROL.isdisjoint(value):
        return invalid(field, f"{field} must not contain control characters")
    return check_utf8_size(field, value, limit)


def check_utf8_size(field: str, value: str, limit: int) -> Rejected | None:
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            return invalid(field, f"{field} is not valid UTF-8 text")
    return too_large(field, size, limit, "bytes") if size > limit else None


def _check_count(field: str, items: Sequence[Any], limit: int) -> Rejected | None:
    if not items:
        return invalid(field, f"{field} is empty; 1 to {limit} are allowed")
    return too_large(field, len(items), limit, "items") if len(items) > limit else None


def check_bytes(field: str, value: bytes, limit: int) -> Rejected | None:
    return too_large(field, len(value), limit, "bytes") if len(value) > limit else None


def check_range(field: str, value: int, low: int, high: int) -> Rejected | None:
    return None if low <= value <= high else out_of_range(field, value, low, high)


def check_ttl(field: str, value: int) -> Rejected | None:
    return check_range(field, value, LIMITS.min_ttl_ms, LIMITS.max_ttl_ms)


def check_duration(field: str, value: int) -> Rejected | None:
    return check_range(field, value, 0, LIMITS.max_duration_ms)


def check_labels(labels: dict[str, str]) -> Rejected | None:
    if not labels:
        return None
    if len(labels) > LIMITS.max_labels:
        return too_large("labels", len(labels), LIMITS.max_labels, "items")
    for key, value in labels.items():
        refused = validate_name("labels key", key) or validate_name(
            "labels value", value, empty_allowed=True
        )
        if refused:
            return refused
    return None


def check_queues(queues: Sequence[str]) -> Rejected | None:
    if len(queues) > LIMITS.max_queues_per_call:
        return too_large("queues", len(queues), LIMITS.max_queues_per_call, "items")
    for position, queue in enumerate(queues):
        refused = validate_name("queues", queue)
        if refused:
            return _at_path(refused, f"queues[{position}]")
    return None


def _at_path(refused: Rejected, path: str) -> Rejected:
    """Put the position of an item in front of what was said about its field."""
    metadata = tuple(
        (key, f"{path}.{value}" if key == "field" else value) for key, value in refused.metadata
    )
    return Rejected(refused.reason, f"{path}: {refused.message}", metadata)


def check_items(
    field: str, items: Sequence[Any], check: Callable[[Any], Rejected | None]
) -> Rejected | None:
    refused = _check_count(field, items, LIMITS.max_batch_items)
    if refused:
        return refused
    for position, item in enumerate(items):
        refused = check(item)
        if refused is not None:
            return _at_path(refused, f"{field}[{position}]")
    return None
