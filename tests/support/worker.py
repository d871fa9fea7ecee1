"""The stream of a worker, as its client has it."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio

from coord.pb import task_pb2 as tasks
from coord.pb import work_pb2 as pb
from coord.rpc.streams import work as work_stream
from tests.support.rpc import LocalNode, refused
from tests.support.waiting import eventually


class Worker:
    """A stream, and what the node said on it."""

    def __init__(self, node: LocalNode, session_id: int, **hello: Any) -> None:
        fields = {"session_id": session_id, "queues": ["q"], "lease_ttl_ms": 60_000} | hello
        self.session_id = session_id
        self.hello = pb.WorkerHello(**fields)
        self.rpc: Any = node.stubs.channel.stream_stream(work_stream.PATH)()
        self.messages: list[pb.ServerMessage] = []
        self.clock_ms = 1_000_000
        self.reading = asyncio.create_task(self._read())

    async def say(self, **fields: Any) -> None:
        message = pb.WorkerMessage(clock_ms=self.clock_ms, **fields)
        await self.rpc.write(message.SerializeToString())

    async def greet(self, **fields: Any) -> Worker:
        await self.say(hello=self.hello, **fields)
        await eventually(lambda: self.messages and self.messages[0].welcome)
        return self

    def header(self, sequence: int) -> dict[str, int]:
        return {"session_id": self.session_id, "sequence": sequence}

    @property
    def tasks(self) -> list[tasks.ClaimedTask]:
        return [t for m in self.messages for a in m.assignments for t in a.claimed.tasks]

    @property
    def answers(self) -> dict[int, pb.WorkAnswer]:
        return {answer.sequence: answer for m in self.messages for answer in m.answers}

    @property
    def lost(self) -> list[pb.LeaseLost]:
        return [lost for m in self.messages for lost in m.lost]

    async def end(self) -> None:
        await self.rpc.done_writing()
        await self.reading
        assert await self.rpc.code() is grpc.StatusCode.OK

    async def refusal(self) -> str:
        """The reason for which the node ended the stream."""
        await self.reading
        return (await refused(self.rpc.read()))[1]

    async def _read(self) -> None:
        try:
            while (data := await self.rpc.read()) is not grpc.aio.EOF:
                self.messages.append(pb.ServerMessage.FromString(data))
        except grpc.aio.AioRpcError:
            return


async def submit(node: LocalNode, count: int = 1, **fields: Any) -> list[str]:
    specs = [tasks.TaskSpec(queue="q", payload=b"%d" % n, **fields) for n in range(count)]
    reply = await node.stubs.tasks.Submit(tasks.SubmitRequest(tasks=specs))
    return [task.task_id for task in reply.tasks]


def complete(worker: Worker, sequence: int, *done: tasks.ClaimedTask) -> tasks.CompleteRequest:
    return tasks.CompleteRequest(
        header=worker.header(sequence),
        items=[{"task_id": t.task_id, "fencing_token": t.fencing_token} for t in done],
    )
