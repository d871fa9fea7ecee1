"""Looks from time to time whether the data directory is still there. One that is gone is noticed by
no write: the files that are open stay usable, and nobody would find them again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coord.journal import DataDirectoryLostError

INTERVAL_S = 1.0


async def watch_directory(
    check: Callable[[], None], lost: Callable[[DataDirectoryLostError], None]
) -> None:
    """Call `check` in a thread until it says that the directory is lost, or this is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(INTERVAL_S)
        try:
            await loop.run_in_executor(None, check)
        except DataDirectoryLostError as error:
            lost(error)
            return
        except OSError:  # it could not be looked at; a write will say what is wrong
            continue
