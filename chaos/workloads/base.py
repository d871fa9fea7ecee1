"""What a workload is: clients that make calls, and the checker that judges what they were told.

A new workload is one module with a subclass of `Workload`, and a line in `chaos.workloads`."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from chaos.histories.recorder import Process, Recorder
from chaos.stores.ports import StoreClient

Connect = Callable[..., StoreClient]


@dataclass(frozen=True, slots=True)
class WorkloadOptions:
    """`rate`: calls a second of all clients of one workload together, when nothing is slow."""

    clients: int = 6
    rate: float = 60.0
    timeout_ms: int = 4_000
    session_ttl_ms: int = 4_000
    prefix: str = ""  # of every key, queue and lock, so that two runs can share a cluster


@dataclass(slots=True)
class Surroundings:
    """What the clients of a workload are given. `connect(name, **options)` makes a client of the
    store, to be entered with `async with`."""

    connect: Connect
    recorder: Recorder
    stopping: asyncio.Event

    async def rest(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the run."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self.stopping.wait(), seconds)
            except TimeoutError:
                return


class Workload(ABC):
    """`name` in options and histories; `checker` names the one in chaos.checkers that judges;
    `agents`: how many agent processes it needs."""

    name: ClassVar[str]
    checker: ClassVar[str]
    agents: ClassVar[int] = 0

    def __init__(self, options: WorkloadOptions, seed: int) -> None:
        self.options = options
        self.rng = random.Random(f"{seed}/{self.name}")

    async def prepare(self, around: Surroundings) -> None:  # noqa: B027 - few need it
        """Before any fault."""

    @abstractmethod
    async def run_client(self, number: int, rng: random.Random, around: Surroundings) -> None:
        """One client, until `around.stopping` is set."""

    async def finish(self, around: Surroundings) -> None:  # noqa: B027 - few need it
        """After everything was healed: reads that the checker needs."""

    async def run(self, around: Surroundings) -> None:
        """All clients, until `around.stopping` is set."""
        generators = [random.Random(self.rng.random()) for _ in range(self.options.clients)]
        async with asyncio.TaskGroup() as group:
            for number, rng in enumerate(generators):
                group.create_task(self.run_client(number, rng, around))

    def process(self, around: Surroundings) -> Process:
        return Process(around.recorder, self.name, self.options.timeout_ms)

    def pause_s(self, rng: random.Random) -> float:
        """How long one client rests between calls, so that all together keep to the rate."""
        return rng.uniform(0, 2 * self.options.clients / self.options.rate)
