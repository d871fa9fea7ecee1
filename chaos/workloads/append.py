"""Lists that transactions append to and read, several at once; as in Jepsen's list-append.

A transaction is a list of steps: `["append", list, value]` and `["r", list, null]`; when it is ok,
its reads have what they found. Every value is appended once. Lists are left for fresh ones after
some transactions, so that they stay short."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any, ClassVar

from chaos.histories.recorder import Process, RefusedError
from chaos.stores.ports import StoreClient
from chaos.workloads.base import Surroundings, Workload, WorkloadOptions
from coord.client import Compare, CoordError, KeyValue, Put

LISTS = 3
MAX_STEPS = 4
LOOK_SHARE, READ_SHARE = 0.3, 0.5  # transactions that only read; steps of the others that do
TRANSACTIONS_PER_ROUND = 120
Steps = list[list[Any]]


class AppendWorkload(Workload):
    """Transactions of reads and appends, made with compares of the lists' revisions."""

    name: ClassVar[str] = "append"
    checker: ClassVar[str] = "append"

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        super().__init__(options, seed)
        self._values = itertools.count(1)
        self._made = 0

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        async with around.connect(f"{self.name}-{number}") as client:
            while not around.stopping.is_set():
                self._made += 1
                await self._transact(self._draw(rng), client, process)
                await around.rest(self.pause_s(rng))

    async def finish(self, around: Surroundings) -> None:
        """All lists are read, also those that were left."""
        process = self.process(around)
        async with around.connect(f"{self.name}-final") as client:
            for number in range(self._round() + 1):
                reads = [["r", self._list(number, n), None] for n in range(LISTS)]
                await self._transact(reads, client, process)

    def _round(self) -> int:
        return self._made // TRANSACTIONS_PER_ROUND

    def _list(self, number: int, n: int) -> str:
        return f"{number}.{n}"

    def _draw(self, rng: random.Random) -> Steps:
        steps: Steps = []
        read_share = 1.0 if rng.random() < LOOK_SHARE else READ_SHARE
        for _ in range(rng.randint(1, MAX_STEPS)):
            name = self._list(self._round(), rng.randrange(LISTS))
            read = rng.random() < read_share
            steps.append(["r", name, None] if read else ["append", name, next(self._values)])
        return steps

    async def _transact(self, steps: Steps, client: StoreClient, process: Process) -> None:
        reads_only = all(f == "r" for f, _, _ in steps)
        await process.call(
            "txn", None, steps, lambda: self._carry_out(steps, client), read_only=reads_only
        )

    async def _carry_out(self, steps: Steps, client: StoreClient) -> Steps:
        prefix = f"{self.options.prefix}append/{steps[0][1].partition('.')[0]}."
        found = await _found(client, prefix)
        lists = {key: json.loads(pair.value) for key, pair in found.items()}
        done: Steps = []
        for f, name, value in steps:
            key = prefix + name.partition(".")[2]
            if f == "r":
                done.append([f, name, list(lists.get(key, ()))])
            else:
                lists.setdefault(key, []).append(value)
                done.append([f, name, value])
        changed = {prefix + name.partition(".")[2] for f, name, _ in steps if f == "append"}
        if changed:
            touched = {prefix + name.partition(".")[2] for _, name, _ in steps}
            await _write(client, found, {key: lists[key] for key in sorted(changed)}, touched)
        return done


async def _found(client: StoreClient, prefix: str) -> dict[str, KeyValue]:
    try:
        pairs = await client.kv.get_prefix(prefix)
    except CoordError as error:  # nothing was written yet, so the transaction failed for sure
        raise RefusedError(error.reason or str(error)) from None
    return {pair.key.decode(): pair for pair in pairs}


async def _write(
    client: StoreClient,
    found: dict[str, KeyValue],
    lists: dict[str, list[int]],
    touched: set[str],
) -> None:
    result = await client.kv.txn(
        [
            Compare.mod_revision(key, "=", found[key].mod_revision if key in found else 0)
            for key in sorted(touched)
        ],
        [Put(key, json.dumps(values)) for key, values in lists.items()],
    )
    if not result.succeeded:
        raise RefusedError("a list had changed")
