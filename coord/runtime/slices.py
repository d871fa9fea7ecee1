"""Ending many tasks of asyncio, in slices between which the event loop serves others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from coord.runtime.sliced_calls import SLICE


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, some in each turn of the loop, and wait until all have ended."""
    pending = [task for task in tasks if not task.done()]
    for start in range(0, len(pending), SLICE):
        for task in pending[start : start + SLICE]:
            task.cancel()
        await asyncio.sleep(0)
    if pending:
        await asyncio.wait(pending)
