"""A bank: money moves between accounts in transactions over two keys, and all balances are read at
once."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from chaos.histories.recorder import Process, RefusedError
from chaos.stores.ports import StoreClient
from chaos.workloads.base import Surroundings, Workload
from coord.client import Compare, CoordError, KeyValue, Put

ACCOUNTS = 6
INITIAL = 100
MAX_AMOUNT = 20
READ_SHARE = 0.3


class BankWorkload(Workload):
    """Balances never go below nothing, and their sum stays what it was."""

    name: ClassVar[str] = "bank"
    checker: ClassVar[str] = "bank"

    async def prepare(self, around: Surroundings) -> None:
        process = self.process(around)
        opened = {str(n): INITIAL for n in range(ACCOUNTS)}
        puts = [Put(self._key(name), str(balance)) for name, balance in opened.items()]
        async with around.connect(f"{self.name}-open") as client:
            await process.call(
                "open", None, opened, lambda: client.kv.txn([], puts), shown=lambda _: opened
            )

    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        process = self.process(around)
        async with around.connect(f"{self.name}-{number}") as client:
            while not around.stopping.is_set():
                if rng.random() < READ_SHARE:
                    await self._read(client, process)
                else:
                    source, target = rng.sample([str(n) for n in range(ACCOUNTS)], 2)
                    move = [source, target, rng.randint(1, MAX_AMOUNT)]
                    await self._transfer(move, client, process)
                await around.rest(self.pause_s(rng))

    async def finish(self, around: Surroundings) -> None:
        async with around.connect(f"{self.name}-final") as client:
            await self._read(client, self.process(around))

    def _key(self, account: str) -> str:
        return f"{self.options.prefix}bank/{account}"

    async def _read(self, client: StoreClient, process: Process) -> None:
        await process.call(
            "balances",
            None,
            None,
            lambda: client.kv.get_prefix(self._key("")),
            shown=_balances,
            read_only=True,
        )

    async def _transfer(self, move: list[Any], client: StoreClient, process: Process) -> None:
        source, target, amount = move

        async def transfer() -> list[Any]:
            accounts = await self._accounts(client)
            left = int(accounts[source].value) - amount
            if left < 0:
                raise RefusedError("not enough money")
            more = int(accounts[target].value) + amount
            result = await client.kv.txn(
                [
                    Compare.mod_revision(self._key(name), "=", accounts[name].mod_revision)
                    for name in (source, target)
                ],
                [Put(self._key(source), str(left)), Put(self._key(target), str(more))],
            )
            if not result.succeeded:
                raise RefusedError("an account had changed")
            return move

        await process.call("transfer", None, move, transfer)

    async def _accounts(self, client: StoreClient) -> dict[str, KeyValue]:
        try:
            found = await client.kv.get_prefix(self._key(""))
        except CoordError as error:  # nothing was written yet, so the transfer has failed for sure
            raise RefusedError(error.reason or str(error)) from None
        return {_account(pair): pair for pair in found}


def _account(pair: KeyValue) -> str:
    return pair.key.rpartition(b"/")[2].decode()


def _balances(found: list[KeyValue]) -> dict[str, int]:
    return {_account(pair): int(pair.value) for pair in found}
