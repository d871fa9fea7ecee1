"""The process of one task that is run apart (see `agentnode.apart`): it loads the handlers, runs
the one that is meant, tells how it ended, and ends.

    python -m agentnode.isolated FD MODULE[:REGISTRY] LOG_FORMAT LOG_LEVEL

The context of the handler works as in a worker; what needs the cluster is asked of the worker, over
the socket FD. The process ends when the worker does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

from agentnode import logs, wire
from agentnode.apart import MAX_LINE_BYTES
from agentnode.context import ContextServices
from agentnode.errors import LoadError
from agentnode.executors import RegistryRunner
from agentnode.held import CancelReason, HeldTask
from agentnode.loading import load_registry
from agentnode.loop import WorkerLoop, guarded
from agentnode.outcome import Failed, Outcome
from agentnode.registry import Registry

_EXIT_ORPHANED = 70


@dataclass(frozen=True, slots=True)
class _KeyValue:
    value: bytes
    mod_revision: int


class _Worker:
    """The worker, as the context of a handler needs it: its key-value store and its heartbeats."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.draining = False
        self._writer = writer
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last_number = 0

    async def get(self, key: str) -> _KeyValue | None:
        found = await self._ask("get", key)
        if found is None:
            return None
        return _KeyValue(wire.bytes_from_json(found[0]) or b"", found[1])

    async def compare_and_set(self, key: str, expected_mod_revision: int, value: bytes) -> bool:
        return bool(
            await self._ask(
                "compare_and_set", key, expected_mod_revision, wire.bytes_to_json(value)
            )
        )

    def reported(self, held: HeldTask) -> None:
        report = held.pending()
        held.confirm(report)
        if report.checkpoint is not None or report.progress_permille is not None:
            checkpoint = wire.bytes_to_json(report.checkpoint)
            self.say({"report": [checkpoint, report.progress_permille]})

    async def confirm(self, held: HeldTask) -> bool:
        self.reported(held)
        return bool(await self._ask("confirm"))

    def answered(self, message: dict[str, Any]) -> None:
        waiting = self._answers.pop(message["answer"], None)
        if waiting is None or waiting.done():
            return
        if "error" in message:
            waiting.set_exception(wire.error_from_json(message["error"]))
        else:
            waiting.set_result(message["value"])

    def say(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def _ask(self, *what: Any) -> Any:
        self._last_number = number = self._last_number + 1
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self.say({"ask": number, "what": what})
        return await answer


async def _listen(reader: asyncio.StreamReader, worker: _Worker, held: HeldTask) -> None:
    with contextlib.suppress(OSError):
        while line := await reader.readline():
            message = json.loads(line)
            if "answer" in message:
                worker.answered(message)
            elif "cancel" in message:
                held.cancel(CancelReason(message["cancel"]), message["detail"])
            else:
                held.lease_start = message["lease_start"]
                worker.draining = message["draining"]
    os._exit(_EXIT_ORPHANED)  # nobody is to go on with what the worker is not there to commit


async def _attempt(held: HeldTask, worker: _Worker, registry: Registry | LoadError) -> Outcome:
    if isinstance(registry, LoadError):
        return Failed(f"the process of the handler could not load it: {registry}")
    services = ContextServices(
        kv=worker,
        leases=worker,
        loop=asyncio.get_running_loop(),
        draining=lambda: worker.draining,
    )
    return await RegistryRunner(registry).run(held, services)


async def serve(fd: int, registry: Registry | LoadError) -> None:
    """One attempt, from the claim to the outcome."""
    link = socket.socket(fileno=fd)
    link.set_inheritable(False)
    reader, writer = await asyncio.open_connection(sock=link, limit=MAX_LINE_BYTES)
    claim = wire.claim_from_json(json.loads(await reader.readline())["claim"])
    held = HeldTask(claim, lease_start=asyncio.get_running_loop().time())
    worker = _Worker(writer)
    listening = asyncio.ensure_future(_listen(reader, worker, held))
    with guarded():
        outcome = await _attempt(held, worker, registry)
        worker.say({"outcome": wire.outcome_to_json(outcome)})
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.write_eof()
        # The worker ends this process once it has read the outcome.
        await listening


def main() -> None:
    fd, reference, log_format, log_level = sys.argv[1:]
    logs.configure(log_format, log_level)
    registry: Registry | LoadError
    try:
        registry = load_registry(reference)
    except LoadError as error:
        registry = error
    with asyncio.Runner(loop_factory=WorkerLoop) as runner:
        runner.run(serve(int(fd), registry))


if __name__ == "__main__":
    main()
