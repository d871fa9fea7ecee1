"""The no-op task for Procrastinate, and its worker process."""

from __future__ import annotations

import asyncio
import importlib
import os
from typing import Any

CONNECTIONS = 32


def make_app(conninfo: str) -> Any:
    procrastinate = importlib.import_module("procrastinate")
    connector = procrastinate.PsycopgConnector(conninfo=conninfo, min_size=4, max_size=CONNECTIONS)
    app = procrastinate.App(connector=connector)

    async def noop(data: str) -> str:
        return data

    app.task(name="noop")(noop)
    return app


async def work() -> None:
    app = make_app(os.environ["BENCH_CONNINFO"])
    async with app.open_async():
        await app.run_worker_async(
            queues=[os.environ["BENCH_QUEUE"]],
            concurrency=int(os.environ["BENCH_SLOTS"]),
            listen_notify=True,
            fetch_job_polling_interval=1.0,
        )


if __name__ == "__main__":
    asyncio.run(work())
