"""`python -m chaos.stock.node CONFIG`: one node.

Clients send JSON objects, one a line, and get one back for each: `put` is replicated by the
library, from whatever node it is sent to; `get` is answered by the node that is leader as far as
it knows, from its own state, which is what the library offers for reads; `status` by any."""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

MAX_LINE_BYTES = 1 << 20


class StockStore(SyncObj):  # type: ignore[misc]
    """Pairs of texts. Settings are the library's own, but for files to keep everything in."""

    def __init__(self, listen: str, own: str, others: list[str], data: Path) -> None:
        files = {"journalFile": str(data / "journal"), "fullDumpFile": str(data / "dump")}
        super().__init__(own, others, SyncObjConf(bindAddress=listen, **files))
        self.pairs: dict[str, str] = {}  # not before: the library dumps what is new after it

    @replicated  # type: ignore[untyped-decorator]
    def put(self, key: str, value: str) -> None:
        self.pairs[key] = value


class Service:
    """Answers clients. The library's thread calls back from outside of the event loop."""

    def __init__(self, store: StockStore) -> None:
        self._store = store

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its client leaves."""
        try:
            while line := await reader.readline():
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # clients come and go
        finally:
            writer.close()

    async def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        leads = self._store._isLeader()
        match asked["op"]:
            case "put":
                return await self._put(asked["key"], asked["value"])
            case "get":
                if not leads:
                    return {"refused": "not the leader"}
                return {"value": self._store.pairs.get(asked["key"])}
            case _:
                return {"leads": leads, "term": self._store.raftCurrentTerm}

    async def _put(self, key: str, value: str) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()

        def tell(_: object, reason: int) -> None:
            loop.call_soon_threadsafe(done.set_result, reason)

        self._store.put(key, value, callback=tell)
        reason = await done
        return {} if reason == FAIL_REASON.SUCCESS else {"unknown": f"reason {reason}"}


def open_store(settings: Mapping[str, Any]) -> StockStore:
    """As a configuration file of the product's says, as far as it concerns this."""
    addresses = {one["node_id"]: one["peer_address"] for one in settings["members"]}
    own = addresses.pop(settings["node_id"])
    data = Path(settings["data_dir"])
    data.mkdir(exist_ok=True)
    return StockStore(settings["peer_listen"], own, list(addresses.values()), data)


async def main(store: StockStore, listen: str) -> None:
    host, _, port = listen.rpartition(":")
    serve = Service(store).serve
    async with await asyncio.start_server(serve, host, int(port), limit=MAX_LINE_BYTES) as server:
        await server.serve_forever()


if __name__ == "__main__":
    config = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(main(open_store(config), config["listen"]))
