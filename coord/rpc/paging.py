"""Pages of listings: as many items as were asked for, as many bytes as one answer may have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from coord.core.listing import Step

# A page ends here, and says that there is more. An item that is larger makes a page of its own.
MAX_PAGE_BYTES: Final = 2 * 1024 * 1024
_ITEMS_AT_A_TIME: Final = 200  # made into messages between two turns of the event loop


class Page(NamedTuple):
    """`more`: there are items behind the last one."""

    items: list[Any]
    more: bool


async def page_of(
    step: Callable[[int, Any], Step],
    show: Callable[[Any], Message],
    limit: int,
    after: Any,
) -> Page:
    """The first `limit` items behind `after`. `step` finds keys (so many, behind this one) in the
    state as it is at that moment; `show` makes the message of one."""
    items: list[Any] = []
    size = 0
    while True:
        found = step(min(limit + 1 - len(items), _ITEMS_AT_A_TIME), after)
        for key in found.found:
            if len(items) == limit:
                return Page(items, True)
            item = show(key)
            size += item.ByteSize()
            if size > MAX_PAGE_BYTES and items:
                return Page(items, True)
            items.append(item)
        if found.done:
            return Page(items, False)
        after = found.after
        await asyncio.sleep(0)
