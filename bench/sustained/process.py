"""A submitter or a worker in a process of its own: on standard input what it is to be; on standard
output a line when it begins, and one when it has ended. A worker ends when its input ends."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from bench.client_process import say
from bench.sustained.book import Book
from bench.sustained.submitter import Plan, Submitter
from bench.sustained.worker import Worker
from coord.client import Client

TIMEOUT_MS = 30_000


async def serve(wanted: dict[str, Any]) -> None:
    plan, role = Plan(**wanted["plan"]), wanted["role"]
    client = Client(wanted["endpoints"], name=role, timeout_ms=TIMEOUT_MS)
    with Book(Path(wanted["book"])) as book:
        async with client:
            await (_submit if role == "submitter" else _work)(client, book, plan)


async def _submit(client: Client, book: Book, plan: Plan) -> None:
    submitter = Submitter(client.tasks, book, plan)
    await _ready(client)
    await submitter.run()
    say(done=True)
    await asyncio.to_thread(sys.stdin.read)


async def _work(client: Client, book: Book, plan: Plan) -> None:
    worker = Worker(client.tasks, book, plan.queue)
    await _ready(client)
    running = asyncio.create_task(worker.run())
    await asyncio.to_thread(sys.stdin.read)
    worker.stop()
    await running


async def _ready(client: Client) -> None:
    await client.open_session()
    say(ready=True)


def main() -> int:
    try:
        uvloop.run(serve(json.loads(sys.stdin.readline())))
    except Exception as error:  # whatever it is, the one who waits must know it
        say(error=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
