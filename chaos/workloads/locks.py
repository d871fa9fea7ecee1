"""Locks that protect a resource outside: whoever holds the lock writes to it and shows the fencing
token; the resource refuses tokens older than the newest one it has seen.

Some holders outstay the lock's time and write all the same, some vanish with it."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any, ClassVar

from chaos.histories.recorder import Process, RefusedError
from chaos.stores.ports import StoreClient
from chaos.workloads.base import Surroundings, Workload, WorkloadOptions
from coord.client import CoordError, LockGrant, StaleFencingTokenError

LOCKS = 2
TTL_MS = 1_500
VANISH_SHARE, OUTSTAY_SHARE = 0.05, 0.1
Held = dict[str, Any]


class FencedResource:
    """Keeps, for each lock, the newest token it has seen."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def write(self, lock: str, token: int) -> None:
        """Raises RefusedError for an older token."""
        newest = self._newest.get(lock, 0)
        if token < newest:
            raise RefusedError(f"token {token} is older than {newest}")
        self._newest[lock] = token


class LocksWorkload(Workload):
    """Acquire, use the resource, release."""

    name: ClassVar[str] = "locks"
    checker: ClassVar[str] = "fenced-lock"

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        super().__init__(options, seed)
        self._holders = itertools.count()
        self._resource = FencedResource()

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        while not around.stopping.is_set():
            # Without an end of its session a client that leaves is one that crashed.
            async with around.connect(f"{self.name}-{number}", end_session=False) as client:
                while not around.stopping.is_set():
                    if await self._once(client, process, rng, around) == "vanish":
                        break
                    await around.rest(self.pause_s(rng))

    async def _once(
        self, client: StoreClient, process: Process, rng: random.Random, around: Surroundings
    ) -> str:
        lock = f"{self.options.prefix}lock-{rng.randrange(LOCKS)}"
        fate = rng.choices(
            ["vanish", "outstay", "release"],
            [VANISH_SHARE, OUTSTAY_SHARE, 1 - VANISH_SHARE - OUTSTAY_SHARE],
        )[0]
        ttl_ms = TTL_MS if fate == "outstay" else rng.choice([0, TTL_MS])
        grant = await self._acquire(lock, ttl_ms, rng.choice([0, 300, 1_500]), client, process)
        if grant is None:
            return ""
        held = {"holder": grant.holder, "token": grant.fencing_token}
        for _ in range(rng.randint(1, 3)):
            if grant.lost.is_set():
                break
            await self._use(lock, held, process)
            await asyncio.sleep(rng.uniform(0.0, 0.08))
        match fate:
            case "vanish":
                await process.call("vanish", lock, held, _nothing, shown=lambda _: held)
            case "outstay":
                await process.call("outstay", lock, held, _nothing, shown=lambda _: held)
                await around.rest(TTL_MS / 1_000 + rng.uniform(0.1, 1.0))
                await self._use(lock, held, process)
                await self._release(lock, grant, held, client, process)
            case _:
                await self._release(lock, grant, held, client, process)
        return fate

    async def _acquire(
        self, lock: str, ttl_ms: int, wait_ms: int, client: StoreClient, process: Process
    ) -> LockGrant | None:
        async def acquire() -> LockGrant:
            grant = await client.locks.acquire(lock, ttl_ms=ttl_ms, wait_ms=wait_ms)
            if grant is None:
                raise RefusedError("held by another")
            return grant

        return await process.call(
            "acquire",
            lock,
            next(self._holders),
            acquire,
            shown=lambda grant: {"holder": grant.holder, "token": grant.fencing_token},
            allowance_s=wait_ms / 1_000,
        )

    async def _use(self, lock: str, held: Held, process: Process) -> None:
        async def use() -> Held:
            self._resource.write(lock, held["token"])
            return held

        await process.call("use", lock, held, use)

    async def _release(
        self, lock: str, grant: LockGrant, held: Held, client: StoreClient, process: Process
    ) -> None:
        async def release() -> Held:
            try:
                await client.locks.release(grant)
            except StaleFencingTokenError as error:
                raise RefusedError(error.reason) from None
            except CoordError as error:
                if grant.lost.is_set() and error.definite:
                    raise RefusedError(error.reason) from None
                raise
            return held

        await process.call("release", lock, held, release)


async def _nothing() -> None:
    return
