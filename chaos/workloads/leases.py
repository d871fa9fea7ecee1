"""Leases: clients open sessions, take locks that end with the session or by themselves, and then
vanish, sit there, or give the lock back; others want the same locks all the time.

Acquiring does not wait: so it is known when each lease can have begun at the earliest."""

from __future__ import annotations

import itertools
import random
from typing import Any, ClassVar

from chaos.histories.recorder import Process, RefusedError
from chaos.stores.ports import StoreClient
from chaos.workloads.base import Surroundings, Workload, WorkloadOptions
from coord.client import CoordError, LockGrant

LOCKS = 3
SESSION_MS, LOCK_MS = 1_000, 400
VANISH_SHARE = 0.5
RETRY_S = (0.01, 0.1)


class LeasesWorkload(Workload):
    """Nobody's lock goes to another before its time."""

    name: ClassVar[str] = "leases"
    checker: ClassVar[str] = "lease"

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        super().__init__(options, seed)
        self._names = itertools.count()

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        while not around.stopping.is_set():
            await self._one_session(number, rng, around, process)
            await around.rest(self.pause_s(rng))

    async def _one_session(
        self, number: int, rng: random.Random, around: Surroundings, process: Process
    ) -> None:
        async with around.connect(
            f"{self.name}-{number}", session_ttl_ms=SESSION_MS, end_session=False
        ) as client:
            opened = {"ttl_ms": SESSION_MS}
            session_id = await process.call(
                "open", None, opened, client.open_session, shown=lambda n: {**opened, "session": n}
            )
            lock = f"{self.options.prefix}lease-{rng.randrange(LOCKS)}"
            while session_id is not None and not around.stopping.is_set():
                ttl_ms = rng.choice([0, LOCK_MS, LOCK_MS])
                grant = await self._acquire(lock, ttl_ms, client, process)
                if grant is not None:
                    await self._hold(grant, rng, around, client, process)
                    return
                await around.rest(rng.uniform(*RETRY_S))

    async def _acquire(
        self, lock: str, ttl_ms: int, client: StoreClient, process: Process
    ) -> LockGrant | None:
        async def acquire() -> LockGrant:
            grant = await client.locks.acquire(lock, ttl_ms=ttl_ms)
            if grant is None:
                raise RefusedError("held by another")
            return grant

        return await process.call(
            "acquire", lock, {"ttl_ms": ttl_ms, "asked": next(self._names)}, acquire, shown=_shown
        )

    async def _hold(
        self,
        grant: LockGrant,
        rng: random.Random,
        around: Surroundings,
        client: StoreClient,
        process: Process,
    ) -> None:
        """Vanish at once, as in a crash; or keep it for a while, the session alive, and give it
        back."""
        if rng.random() < VANISH_SHARE:
            return
        await around.rest(rng.uniform(0, 1.5 * LOCK_MS / 1_000))

        async def release() -> dict[str, Any]:
            try:
                await client.locks.release(grant)
            except CoordError as error:
                if grant.lost.is_set() and error.definite:
                    raise RefusedError(error.reason) from None
                raise
            return _shown(grant)

        await process.call("release", grant.name, _shown(grant), release)


def _shown(grant: LockGrant) -> dict[str, Any]:
    return {"token": grant.fencing_token, "session": grant.session_id, "ttl_ms": grant.ttl_ms}
