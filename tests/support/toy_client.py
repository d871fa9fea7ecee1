"""A small async client, to generate a blocking form of."""

from __future__ import annotations

import builtins
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable

LIMIT = 15_000


class Stream:
    """What only code with an event loop can use."""

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class Toys:
    """Toys. Belong to the event loop of their first use.

    Never to be shared."""

    def __init__(self) -> None:
        self.ended: builtins.list[str] = []

    @property
    def size(self) -> int:
        """How many."""
        return 3

    async def add(self, a: int, *, b: int = 15_000) -> int:
        """Their sum: `await toys.add(1)`."""
        return a + b

    async def list(self, limit: int = LIMIT) -> builtins.list[int]:
        """All of them."""
        return builtins.list(range(min(limit, self.size)))

    async def names(self, type: str = "") -> list[str]:  # noqa: A002
        """Their names."""
        return [type]

    async def forget(self) -> None:
        self.ended.append("forgotten")

    def thread(self) -> str:
        """To be called on the event loop."""
        return threading.current_thread().name

    def stream(self) -> Stream:
        """A stream of toys."""
        return Stream()

    async def count(self, end: int) -> AsyncIterator[int]:
        """Count: `async for n in toys.count(3)`."""
        try:
            for number in range(end):
                yield number
        finally:
            self.ended.append("count")

    @contextlib.asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[str]:
        """Hold one in an `async with` block."""
        try:
            yield name
        finally:
            self.ended.append(name)


class NeverBlocking:
    """Has a method for which there is no blocking form."""

    async def later(self) -> Awaitable[int]:
        """See the name."""
        raise NotImplementedError
