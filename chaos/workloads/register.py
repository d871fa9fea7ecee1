"""Registers: reads, writes and compare-and-sets of single keys.

Every write writes a value nobody wrote before; a few values are large, up to the largest there may
be. A key is left for a fresh one after some calls, so
that the checker's work stays bounded."""

from __future__ import annotations

import itertools
import random
from typing import Any, ClassVar

from chaos.histories.recorder import Process, RefusedError
from chaos.stores.ports import StoreClient
from chaos.workloads.base import Surroundings, Workload, WorkloadOptions
from coord.client import Compare, KeyValue, Put

SLOTS = 4
CALLS_PER_KEY = 200
LARGE_SHARE = 0.03
MAX_VALUE_BYTES = 1_048_576  # of a value, as the store documents it


class RegisterWorkload(Workload):
    """Reads and writes."""

    name: ClassVar[str] = "register"
    checker: ClassVar[str] = "register"
    shares: ClassVar[dict[str, float]] = {"read": 0.5, "write": 0.5}

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        super().__init__(options, seed)
        self._values = itertools.count(1)
        self._calls = [0] * SLOTS

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        seen: dict[str, int | None] = {}
        async with around.connect(f"{self.name}-{number}") as client:
            while not around.stopping.is_set():
                key = self._pick_key(rng)
                (f,) = rng.choices(list(self.shares), list(self.shares.values()))
                await self._call(f, key, client, process, seen)
                await around.rest(self.pause_s(rng))

    async def finish(self, around: Surroundings) -> None:
        process = self.process(around)
        async with around.connect(f"{self.name}-final") as client:
            for slot in range(SLOTS):
                await self._read(self._key(slot), client, process)

    def _pick_key(self, rng: random.Random) -> str:
        slot = rng.randrange(SLOTS)
        self._calls[slot] += 1
        return self._key(slot)

    def _key(self, slot: int) -> str:
        return f"{self.options.prefix}{self.name}-{slot}.{self._calls[slot] // CALLS_PER_KEY}"

    async def _call(
        self, f: str, key: str, client: StoreClient, process: Process, seen: dict[str, int | None]
    ) -> None:
        match f:
            case "read":
                if (found := await self._read(key, client, process)) is not None:
                    seen[key] = found
            case "write":
                value = next(self._values)
                await self._write(key, value, client, process)
            case "cas":
                change = [seen.get(key), next(self._values)]
                if await self._cas(key, change, client, process):
                    seen[key] = change[1]

    async def _read(self, key: str, client: StoreClient, process: Process) -> int | None:
        found = await process.call(
            "read", key, None, lambda: client.kv.get(key), shown=_value, read_only=True
        )
        return _value(found)

    async def _write(self, key: str, value: int, client: StoreClient, process: Process) -> None:
        text = written(value)
        await process.call(
            "write", key, value, lambda: client.kv.put(key, text), shown=lambda _: value
        )

    async def _cas(
        self, key: str, change: list[int | None], client: StoreClient, process: Process
    ) -> bool:
        old, new = change
        condition = Compare.missing(key) if old is None else Compare.value(key, "=", written(old))

        async def swap() -> list[Any]:
            result = await client.kv.txn([condition], [Put(key, written(new))])
            if not result.succeeded:
                raise RefusedError("the value was another one")
            return change

        return await process.call("cas", key, change, swap) is not None


class CasRegisterWorkload(RegisterWorkload):
    """Reads, writes and compare-and-sets."""

    name: ClassVar[str] = "cas-register"
    checker: ClassVar[str] = "cas-register"
    shares: ClassVar[dict[str, float]] = {"read": 0.4, "write": 0.25, "cas": 0.35}


def written(value: int | None) -> bytes:
    """The number as it is stored: always the same for one number."""
    text = b"%d" % (value or 0)
    draw = random.Random(f"size/{value}")
    if draw.random() >= LARGE_SHARE:
        return text
    return text.ljust(round(MAX_VALUE_BYTES ** draw.choice((draw.random(), draw.random(), 1.0))))


def _value(found: KeyValue | None) -> int | None:
    return None if found is None else int(found.value)
