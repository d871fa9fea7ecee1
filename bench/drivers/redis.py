"""Redis streams with a consumer group; locks as its documentation describes for one instance."""

from __future__ import annotations

import importlib
from typing import Any

from bench.drivers.base import Driver, payload
from bench.errors import BenchError
from bench.job import Job
from bench.load import Operation

GROUP = "workers"
COMPLETE = """
local stream = KEYS[1]
local taken = redis.call('XACK', stream, ARGV[1], unpack(ARGV, 3))
redis.call('XDEL', stream, unpack(ARGV, 3))
for i = 3, #ARGV do redis.call('SET', stream .. '/r/' .. ARGV[i], ARGV[2]) end
return taken
"""
COMPARE_AND_SET = """
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'data', ARGV[3])
return 1
"""
UNLOCK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
LOCK_MS = 15_000


class RedisDriver(Driver):
    """A pool with a connection for each caller, up to 64."""

    _redis: Any

    async def open(self, job: Job) -> None:
        redis = importlib.import_module("redis.asyncio")
        pool = redis.BlockingConnectionPool.from_url(
            job.connect["url"], max_connections=64, timeout=None
        )
        self._redis = redis.Redis.from_pool(pool)
        if job.operation in {"cycle", "fill"}:
            await self._redis.xgroup_create(job.name, GROUP, id="0", mkstream=True)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _submit(self, job: Job, data: bytes) -> None:
        if job.batch == 1:
            await self._redis.xadd(job.name, {"p": data})
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for _ in range(job.batch):
                pipe.xadd(job.name, {"p": data})
            await pipe.execute()

    def op_cycle(self, job: Job) -> Operation:
        data = payload(job)
        complete = self._redis.register_script(COMPLETE)

        async def cycle(caller: int) -> int:
            await self._submit(job, data)
            left = job.batch
            while left:
                found = await self._redis.xreadgroup(
                    GROUP, f"c{caller % 64}", {job.name: ">"}, count=left, block=5_000
                )
                if not found:
                    continue
                entries = found[0][1] if isinstance(found, list) else found[job.name.encode()][0]
                ids = [entry[0] for entry in entries]
                taken = await complete(keys=[job.name], args=[GROUP, data, *ids])
                if taken != len(ids):
                    raise BenchError(f"{taken} entries acknowledged instead of {len(ids)}")
                left -= len(ids)
            return job.batch

        return cycle

    def op_fill(self, job: Job) -> Operation:
        data = payload(job)

        async def fill(_: int) -> int:
            await self._submit(job, data)
            return job.batch

        return fill

    def op_put(self, job: Job) -> Operation:
        data = payload(job)

        async def put(caller: int) -> int:
            await self._redis.set(f"{job.name}/{caller % 1000}", data)
            return 1

        return put

    def op_get(self, job: Job) -> Operation:
        data = payload(job)
        written: set[str] = set()

        async def get(caller: int) -> int:
            key = f"{job.name}/{caller % 1000}"
            if key not in written:
                await self._redis.set(key, data)
                written.add(key)
            if await self._redis.get(key) is None:
                raise BenchError(f"{key} is gone")
            return 1

        return get

    def op_txn(self, job: Job) -> Operation:
        data = payload(job)
        script = self._redis.register_script(COMPARE_AND_SET)
        versions: dict[str, int] = {}

        async def txn(caller: int) -> int:
            key = f"{job.name}/{caller}"
            if key not in versions:
                await self._redis.hset(key, mapping={"v": 0, "data": data})
                versions[key] = 0
            version = versions[key]
            if not await script(keys=[key], args=[version, version + 1, data]):
                raise BenchError(f"{key} was changed by somebody else")
            versions[key] = version + 1
            return 1

        return txn

    def op_lock(self, job: Job) -> Operation:
        unlock = self._redis.register_script(UNLOCK)

        async def lock(caller: int) -> int:
            name = f"{job.name}/{caller}"
            if not await self._redis.set(name, "token", nx=True, px=LOCK_MS):
                raise BenchError("somebody else has the lock")
            if not await unlock(keys=[name], args=["token"]):
                raise BenchError("the lock was lost")
            return 1

        return lock
