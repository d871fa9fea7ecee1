"""A client process with very many contenders for one lock, which speaks JSON lines.

Its first line says what to do (`Plan`). It holds the lock in one session, and has the waiters queue
for it in another. It says `queued` once all wait, and `ended` once all have their answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc.aio

from coord.channels import aio_channel
from coord.client import Client
from coord.pb import common_pb2, lock_pb2
from coord.pb import stream_pb2 as pb

PATH = "/coord.v1.Stream/Calls"
ACQUIRE = "/coord.v1.Locks/Acquire"
WAITERS_A_STREAM = 5_000
CALLS_A_MESSAGE = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """`wait_s` from the start, all waits are over at one moment. `close_session_after_s`: the
    session of the waiters is closed so long after all wait; 0 = not before their waits are over."""

    endpoint: str
    lock: str
    waiters: int
    wait_s: float
    close_session_after_s: float = 0.0


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


async def run(plan: Plan) -> None:
    began = time.monotonic()
    async with Client(plan.endpoint) as holder, Client(plan.endpoint) as waiting:
        if await holder.locks.acquire(plan.lock) is None:
            raise RuntimeError("the lock is not free")
        session_id = await waiting.open_session()
        async with aio_channel(plan.endpoint) as channel:
            streams = [
                asyncio.create_task(wait_on_stream(channel, plan, session_id, numbers, began))
                for numbers in split(plan.waiters)
            ]
            await all_queued(holder, plan)
            say(queued=time.monotonic() - began)
            if plan.close_session_after_s:
                await asyncio.sleep(plan.close_session_after_s)
                await holder.sessions.close(session_id)
            await asyncio.gather(*streams)
            say(ended=time.monotonic() - began)


def split(waiters: int) -> Iterator[range]:
    for first in range(0, waiters, WAITERS_A_STREAM):
        yield range(first, min(first + WAITERS_A_STREAM, waiters))


async def all_queued(client: Client, plan: Plan) -> None:
    while True:
        info = await client.locks.get(plan.lock)
        if info is not None and info.waiter_count >= plan.waiters:
            return
        await asyncio.sleep(0.1)


async def wait_on_stream(
    channel: grpc.aio.Channel, plan: Plan, session_id: int, numbers: range, began: float
) -> None:
    stream: Any = channel.stream_stream(PATH)()
    for first in range(numbers.start, numbers.stop, CALLS_A_MESSAGE):
        some = range(first, min(first + CALLS_A_MESSAGE, numbers.stop))
        left_ms = max(1, int((plan.wait_s - (time.monotonic() - began)) * 1_000))
        batch = pb.CallBatch(calls=[call(plan, session_id, one, left_ms) for one in some])
        await stream.write(batch.SerializeToString())
    answered = 0
    while answered < len(numbers):
        data = await stream.read()
        if data is grpc.aio.EOF:
            raise RuntimeError("the stream ended early")
        answered += len(pb.AnswerBatch.FromString(data).answers)
    await stream.done_writing()


def call(plan: Plan, session_id: int, number: int, wait_ms: int) -> pb.StreamCall:
    request = lock_pb2.AcquireLockRequest(
        header=common_pb2.RequestHeader(session_id=session_id),
        name=plan.lock,
        holder=f"waiter-{number}",
        wait_ms=wait_ms,
    )
    return pb.StreamCall(id=number + 1, method=ACQUIRE, request=request.SerializeToString())


def main() -> None:
    try:
        asyncio.run(run(Plan(**json.loads(sys.stdin.readline()))))
    except Exception as error:
        say(error=f"{type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    main()
