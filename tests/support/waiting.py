"""Waiting for something to come true, with a deadline instead of a sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(
    condition: Callable[[], object], timeout_s: float = 10.0, what: str = "the condition"
) -> None:
    """Return once `condition` holds; fail the test if it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        assert loop.time() < deadline, f"did not come true within {timeout_s} s: {what}"
        await asyncio.sleep(0.005)
