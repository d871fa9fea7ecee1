"""Waiting in the claim queue, for tasks of asyncio."""

from __future__ import annotations

import asyncio

from coord.runtime.claim_queue import ClaimQueue


async def park(
    claims: ClaimQueue[asyncio.Future[bool]],
    queues: tuple[str, ...],
    max_tasks: int,
    timeout_s: float,
    *,
    first: bool = False,
) -> bool:
    """Wait in line. True: it is let through (`leave` must follow); False: time is over.

    `first`: in front. Raises what `ClaimQueue.end_all` was given."""
    claim = claims.park(queues, max_tasks, timeout_s, first=first)
    try:
        return await claim.turn
    except asyncio.CancelledError:
        claims.give_up(claim)
        raise
