"""Sets: elements are added one by one, each under a key of its own, and all are read at once."""

from __future__ import annotations

import itertools
import random
from typing import ClassVar

from chaos.histories.recorder import Process
from chaos.stores.ports import StoreClient
from chaos.workloads.base import Surroundings, Workload, WorkloadOptions
from coord.client import KeyValue

ADDS_PER_SET = 250
READ_SHARE = 0.25


class SetWorkload(Workload):
    """A set is left for a fresh one after some adds, so that reads stay small."""

    name: ClassVar[str] = "set"
    checker: ClassVar[str] = "set"

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        super().__init__(options, seed)
        self._elements = itertools.count()
        self._added = 0

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        async with around.connect(f"{self.name}-{number}") as client:
            while not around.stopping.is_set():
                if rng.random() < READ_SHARE:
                    await self._read(self._set_of(self._added), client, process)
                else:
                    await self._add(client, process)
                await around.rest(self.pause_s(rng))

    async def finish(self, around: Surroundings) -> None:
        process = self.process(around)
        async with around.connect(f"{self.name}-final") as client:
            for first in range(0, self._added + 1, ADDS_PER_SET):
                await self._read(self._set_of(first), client, process)

    def _set_of(self, element: int) -> str:
        return f"{self.options.prefix}set-{element // ADDS_PER_SET}"

    async def _add(self, client: StoreClient, process: Process) -> None:
        element = self._added = next(self._elements)
        key = self._set_of(element)
        await process.call(
            "add",
            key,
            element,
            lambda: client.kv.put(f"{key}/{element}", b""),
            shown=lambda _: element,
        )

    async def _read(self, key: str, client: StoreClient, process: Process) -> None:
        await process.call(
            "read-set",
            key,
            None,
            lambda: client.kv.get_prefix(f"{key}/"),
            shown=_elements,
            read_only=True,
        )


def _elements(found: list[KeyValue]) -> list[int]:
    return sorted(int(pair.key.rpartition(b"/")[2]) for pair in found)
