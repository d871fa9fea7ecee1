"""Makes Procrastinate's tables."""

from __future__ import annotations

import os

from bench.apps.procrastinate_app import make_app


def make_tables() -> None:
    import asyncio

    async def apply() -> None:
        app = make_app(os.environ["BENCH_CONNINFO"])
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    asyncio.run(apply())


if __name__ == "__main__":
    make_tables()
