"""Pages of listings."""

from __future__ import annotations

from typing import Final

from coord.core.base.limits import Limits

DEFAULT_LIST_ITEMS: Final = 100


def page_limit(limits: Limits, limit: int) -> int:
    """How many items a listing gives that was asked for so many; 0: 100."""
    return min(limit or DEFAULT_LIST_ITEMS, limits.max_list_items)
