"""PostgreSQL as a queue: `FOR UPDATE SKIP LOCKED`, through asyncpg with prepared statements.

One statement a call, in its own transaction. A claim writes who has the task until when and counts
the attempt; the commit checks that the attempt is still this one (fencing).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from collections.abc import AsyncIterator
from typing import Any

from bench.drivers.base import Driver, payload
from bench.errors import BenchError
from bench.job import Job
from bench.load import Operation

SCHEMA = """
CREATE TABLE IF NOT EXISTS task (
  id bigserial PRIMARY KEY,
  queue text NOT NULL,
  state smallint NOT NULL DEFAULT 0,
  attempt int NOT NULL DEFAULT 0,
  worker text,
  lease_until timestamptz,
  payload bytea NOT NULL,
  result bytea
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS task_ready ON task (queue, id) WHERE state = 0;
CREATE TABLE IF NOT EXISTS kv (
  key text PRIMARY KEY, value bytea NOT NULL, version bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS lock (name text PRIMARY KEY, holder text NOT NULL);
"""

SUBMIT = "INSERT INTO task (queue, payload) VALUES ($1, $2) RETURNING id"
SUBMIT_MANY = "INSERT INTO task (queue, payload) SELECT $1, unnest($2::bytea[]) RETURNING id"
CLAIM = """
UPDATE task SET state = 1, attempt = attempt + 1, worker = $3,
                lease_until = now() + interval '15 s'
WHERE id = ANY (ARRAY(
  SELECT id FROM task WHERE queue = $1 AND state = 0
  ORDER BY id FOR UPDATE SKIP LOCKED LIMIT $2))
RETURNING id, attempt, payload
"""
COMPLETE = "UPDATE task SET state = 2, result = $3 WHERE id = $1 AND attempt = $2 AND state = 1"
COMPLETE_MANY = """
UPDATE task SET state = 2, result = done.result
FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::int[]) AS attempt,
             unnest($3::bytea[]) AS result) done
WHERE task.id = done.id AND task.attempt = done.attempt AND task.state = 1
"""
PUT = """
INSERT INTO kv (key, value, version) VALUES ($1, $2, 1)
ON CONFLICT (key) DO UPDATE SET value = $2, version = kv.version + 1
"""
GET = "SELECT value FROM kv WHERE key = $1"
COMPARE_AND_PUT = "UPDATE kv SET value = $2, version = version + 1 WHERE key = $1 AND version = $3"
LOCK = "INSERT INTO lock (name, holder) VALUES ($1, $2) ON CONFLICT DO NOTHING"
UNLOCK = "DELETE FROM lock WHERE name = $1 AND holder = $2"
WORKER = "bench"


class PostgresDriver(Driver):
    """As many connections as callers, up to `connections`; more callers share them."""

    def __init__(self) -> None:
        self._connections: list[Any] = []
        self._free: asyncio.LifoQueue[Any] = asyncio.LifoQueue()

    async def open(self, job: Job) -> None:
        asyncpg = importlib.import_module("asyncpg")
        at_most = int(job.connect["connections"])
        wanted = at_most if job.rate else min(job.callers, at_most)
        options = json.loads(job.connect["dsn"])
        for _ in range(wanted):
            connection = await asyncpg.connect(**options)
            self._connections.append(connection)
            self._free.put_nowait(connection)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)

    async def _fetch(self, sql: str, *values: object) -> Any:
        async with self._connection() as connection:
            return await connection.fetch(sql, *values)

    async def _execute(self, sql: str, *values: object) -> int:
        """How many rows it touched."""
        async with self._connection() as connection:
            status: str = await connection.execute(sql, *values)
        return int(status.rpartition(" ")[2])

    def op_cycle(self, job: Job) -> Operation:
        data = payload(job)
        queue = job.name

        async def one(_: int) -> int:
            await self._fetch(SUBMIT, queue, data)
            while not (rows := await self._fetch(CLAIM, queue, 1, WORKER)):
                pass  # locked by others, or newer than what this statement saw
            [row] = rows
            _expect(await self._execute(COMPLETE, row["id"], row["attempt"], data), 1)
            return 1

        async def many(_: int) -> int:
            await self._fetch(SUBMIT_MANY, queue, [data] * job.batch)
            left = job.batch
            while left:
                rows = await self._fetch(CLAIM, queue, left, WORKER)
                if rows:
                    ids, attempts = [r["id"] for r in rows], [r["attempt"] for r in rows]
                    done = await self._execute(COMPLETE_MANY, ids, attempts, [data] * len(rows))
                    _expect(done, len(rows))
                left -= len(rows)
            return job.batch

        return one if job.batch == 1 else many

    def op_fill(self, job: Job) -> Operation:
        data = [payload(job)] * job.batch

        async def fill(_: int) -> int:
            await self._fetch(SUBMIT_MANY, job.name, data)
            return job.batch

        return fill

    def op_put(self, job: Job) -> Operation:
        data = payload(job)

        async def put(caller: int) -> int:
            await self._execute(PUT, f"{job.name}/{caller % 1000}", data)
            return 1

        return put

    def op_get(self, job: Job) -> Operation:
        data = payload(job)
        written: set[str] = set()

        async def get(caller: int) -> int:
            key = f"{job.name}/{caller % 1000}"
            if key not in written:
                await self._execute(PUT, key, data)
                written.add(key)
            if not await self._fetch(GET, key):
                raise BenchError(f"{key} is gone")
            return 1

        return get

    def op_txn(self, job: Job) -> Operation:
        data = payload(job)
        versions: dict[str, int] = {}

        async def txn(caller: int) -> int:
            key = f"{job.name}/{caller}"
            if key not in versions:
                await self._execute(PUT, key, data)
                versions[key] = 1
            _expect(await self._execute(COMPARE_AND_PUT, key, data, versions[key]), 1)
            versions[key] += 1
            return 1

        return txn

    def op_lock(self, job: Job) -> Operation:
        """A durable lock is a row; PostgreSQL's advisory locks are not replicated."""

        async def lock(caller: int) -> int:
            name = f"{job.name}/{caller}"
            _expect(await self._execute(LOCK, name, WORKER), 1)
            _expect(await self._execute(UNLOCK, name, WORKER), 1)
            return 1

        return lock


def _expect(rows: int, wanted: int) -> None:
    if rows != wanted:
        raise BenchError(f"{rows} rows were changed instead of {wanted}")
