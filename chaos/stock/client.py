"""A client of `chaos.stock.node` with as much of a store's interface as registers need."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from coord.client import KeyValue
from coord.client.kv import Key, to_bytes
from coord.client.transport.errors import OutcomeUnknownError, UnavailableError

REST_S = 0.05
PATIENCE_S = 1.0  # with one node


class StockClient:
    """Asks the nodes in an order of its own, and goes on to the next one when a node cannot be
    reached or does not lead. A write that was sent is not sent again."""

    def __init__(self, addresses: Sequence[str], rng: random.Random, timeout_ms: int) -> None:
        self._addresses = rng.sample(list(addresses), len(addresses))
        self._timeout_s = timeout_ms / 1_000

    @property
    def kv(self) -> Self:
        return self

    async def get(self, key: Key) -> KeyValue | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        while loop.time() < deadline:
            for address in self._addresses:
                with contextlib.suppress(OSError, TimeoutError):
                    found = await ask(address, {"op": "get", "key": _text(key)}, PATIENCE_S)
                    if "value" in found:
                        return _pair(key, found["value"])
            await asyncio.sleep(REST_S)
        raise UnavailableError("no node leads")

    async def put(self, key: Key, value: Key) -> int:
        asked = {"op": "put", "key": _text(key), "value": _text(value)}
        for address in self._addresses:
            try:
                found = await ask(address, asked, self._timeout_s)
            except ConnectionRefusedError:
                continue
            except (OSError, TimeoutError):
                break
            if "unknown" in found:
                break
            return 0
        else:
            raise UnavailableError("no node can be reached")
        raise OutcomeUnknownError("no answer, or none that says anything")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is kept open."""


async def ask(address: str, question: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """One question on a connection of its own. Raises OSError, TimeoutError."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(json.dumps(question).encode() + b"\n")
            if not (line := await reader.readline()):
                raise ConnectionResetError
        finally:
            writer.close()
    found: dict[str, Any] = json.loads(line)
    return found


def _text(value: Key) -> str:
    return to_bytes(value).decode()


def _pair(key: Key, value: str | None) -> KeyValue | None:
    return None if value is None else KeyValue(to_bytes(key), value.encode(), 0, 0, 0)
