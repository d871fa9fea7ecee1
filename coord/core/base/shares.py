"""How much of what is scarce one party may take, so that the others find some, too."""

from __future__ import annotations

from typing import Final

_TIMES_FREE: Final = 9


def beyond_share(own: int, total: int, limit: int) -> bool:
    """Whether `own` of `total` taken (all others' and these) is more than a party may have.

    A party may hold nine times what is still free. So one alone can take nine tenths, two that are
    greedy end with nine nineteenths each, and whoever comes after them still finds room."""
    return own > _TIMES_FREE * (limit - total)


def may_be_beyond(total: int, limit: int) -> bool:
    """Whether anybody can be: not while a tenth is free."""
    return total > _TIMES_FREE * (limit - total)
