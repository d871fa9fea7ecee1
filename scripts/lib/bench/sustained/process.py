"""A submitter or a worker in a process of its own: on standard input what it is to be; on standard
output a line when it begins, and one when it has ended. A worker ends when its input ends."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from coord.client import Client
from scripts.lib.bench.client_process import say
from scripts.lib.bench.sustained.book import Book
from scripts.lib.bench.sustained.submitter import Plan, Submitter
from scripts.lib.bench.sustained.worker import Worker

TIMEOUT_MS = 30_000


async def serve(wanted: dict[str, Any]) -> None:
    plan = Plan(**wanted["plan"])
    client = Client(wanted["endpoints"], name=wanted["role"], timeout_ms=TIMEOUT_MS)
    with Book(Path(wanted["book"])) as book:
        submitter = Submitter(client.tasks, book, plan)
        worker = Worker(client.tasks, book, plan.queue)
        async with client:
            await client.open_session()
            say(ready=wanted["role"])
            if wanted["role"] == "submitter":
                await submitter.run()
                say(done=wanted["role"])
                await asyncio.to_thread(sys.stdin.read)
            else:
                running = asyncio.create_task(worker.run())
                await asyncio.to_thread(sys.stdin.read)
                worker.stop()
                await running


def main() -> int:
    try:
        uvloop.run(serve(json.loads(sys.stdin.readline())))
    except Exception as error:  # whatever it is, the one who waits must know it
        say(error=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
