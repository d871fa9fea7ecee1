"""Keeps what a node knows of its peers' runs on disk, beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from coord.journal import PeerRun, StorageError

PAUSE_S: Final = 0.2  # between writes, however often peers come and go
RETRY_S: Final = 5.0


class RunsKeeper:
    """`store(runs)` blocks, and is called in a thread, one call at a time; `known()` is what is to
    be stored. A store that fails is tried again: nothing waits for it."""

    def __init__(
        self,
        store: Callable[[Mapping[str, PeerRun]], None],
        known: Callable[[], dict[str, PeerRun]],
        log: Any,
    ) -> None:
        self._store = store
        self._known = known
        self._log = log
        self._stored = known()
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def changed(self) -> None:
        """There is something new to be stored."""
        if self._task is None and not self._stopping.is_set():
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="peer-runs")

    async def stop(self) -> None:
        """Store what is new, once. Idempotent."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _keep(self) -> None:
        failed = False
        while (known := self._known()) != self._stored:
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._store, known)
            except StorageError as error:
                if not failed:
                    self._log.warning("peer_runs_not_stored", why=str(error))
                failed = True
            else:
                self._stored, failed = known, False
            if failed and self._stopping.is_set():
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if failed else PAUSE_S):
                    await self._stopping.wait()
        self._task = None
