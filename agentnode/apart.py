"""Runs suspects apart: a task whose worker was lost before gets a process of its own for its
handler, so that one that kills its process takes nobody with it.

The store hands such a task out like any other: a worker that is always busy never holds nothing, so
claiming it alone would let it starve, or leave slots idle. In a process of its own it fails by
itself, with an error that says how the process ended; its lease is kept by the worker meanwhile.

The worker and the process (`agentnode.isolated`) talk over a socket, in lines of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from typing import Any, Final

from agentnode import logs, wire
from agentnode.context import ContextServices
from agentnode.executors import RegistryRunner
from agentnode.held import HeldTask
from agentnode.outcome import Failed, Outcome, Stopped
from agentnode.ports import CoordError
from agentnode.registry import Registry

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
_NEWS_PER_LEASE: Final = 10


class IsolatingRunner(RegistryRunner):
    """Runs the handlers of a registry here, and those of suspects in processes that load it anew
    from `reference`, seen from the working directory `folder`. `kill_after_ms` lies between a
    cancellation and SIGKILL."""

    def __init__(
        self, registry: Registry, reference: str, folder: str, *, kill_after_ms: int = 2_000
    ) -> None:
        super().__init__(registry)
        self._reference = reference
        self._folder = folder
        self._kill_after_s = kill_after_ms / 1_000

    async def run(self, held: HeldTask, services: ContextServices) -> Outcome:
        if not held.claim.lost_leases or not self.handles(held):
            return await super().run(held, services)
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "agentnode.isolated"),
                *(str(theirs.fileno()), self._reference, *logs.settings()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd=self._folder,
            )
        return await _Apart(held, services, process, ours, self._kill_after_s).run()


class _Apart:
    """One attempt in a process of its own."""

    def __init__(
        self,
        held: HeldTask,
        services: ContextServices,
        process: Process,
        link: socket.socket,
        kill_after_s: float,
    ) -> None:
        self._held = held
        self._services = services
        self._process = process
        self._link = link
        self._kill_after_s = kill_after_s
        self._outcome: Outcome | None = None
        self._asked: set[asyncio.Future[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> Outcome:
        """How it ended; the process and what it has left behind are gone then."""
        reader, self._writer = await asyncio.open_connection(sock=self._link, limit=MAX_LINE_BYTES)
        news = asyncio.ensure_future(self._tell_news())
        try:
            self._say({"claim": wire.claim_to_json(self._held.claim)})
            self._held.on_cancel(self._cancel)
            with contextlib.suppress(OSError, ValueError):
                while line := await reader.readline():
                    self._take(json.loads(line))
        finally:
            news.cancel()
            for asked in self._asked:
                asked.cancel()
            self._writer.close()
            self._kill()
            code = await self._process.wait()
        if self._outcome is not None:
            return self._outcome
        return Stopped() if self._held.cancelled.is_set() else Failed(self._how_it_died(code))

    def _how_it_died(self, code: int) -> str:
        if code < 0:
            how = f"was killed by {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code} before the handler did"
        lost = self._held.claim.lost_leases
        return (
            f"the process of the handler {how}; it was run apart, as {lost} "
            f"{'worker was' if lost == 1 else 'workers were'} lost with this task before"
        )

    def _take(self, message: dict[str, Any]) -> None:
        if "outcome" in message:
            self._outcome = wire.outcome_from_json(message["outcome"])
        elif "report" in message:
            checkpoint, progress = message["report"]
            self._held.report(checkpoint=wire.bytes_from_json(checkpoint), progress=progress)
            self._services.leases.reported(self._held)
        else:
            asked = asyncio.ensure_future(self._answer(message["ask"], message["what"]))
            self._asked.add(asked)
            asked.add_done_callback(self._asked.discard)

    async def _answer(self, number: int, what: list[Any]) -> None:
        try:
            self._say({"answer": number, "value": await self._do(*what)})
        except CoordError as error:
            self._say({"answer": number, "error": wire.error_to_json(error)})

    def _do(self, what: str, *arguments: Any) -> Awaitable[Any]:
        acts: dict[str, Callable[..., Awaitable[Any]]] = {
            "confirm": lambda: self._services.leases.confirm(self._held),
            "get": self._get,
            "compare_and_set": self._compare_and_set,
        }
        return acts[what](*arguments)

    async def _get(self, key: str) -> list[Any] | None:
        found = await self._services.kv.get(key)
        return None if found is None else [wire.bytes_to_json(found.value), found.mod_revision]

    async def _compare_and_set(self, key: str, expected: int, value: str) -> bool:
        data = wire.bytes_from_json(value) or b""
        return await self._services.kv.compare_and_set(key, expected, data)

    async def _tell_news(self) -> None:
        """What the context shows of the worker: the lease, and whether it drains."""
        period_s = self._held.claim.lease_ttl_ms / 1_000 / _NEWS_PER_LEASE
        told: dict[str, Any] = {}
        while True:
            news = {"lease_start": self._held.lease_start, "draining": self._services.draining()}
            if news != told:
                told = news
                self._say(news)
            await asyncio.sleep(period_s)

    def _cancel(self) -> None:
        self._say({"cancel": self._held.cancel_reason, "detail": self._held.cancel_detail})
        asyncio.get_running_loop().call_later(self._kill_after_s, self._kill)

    def _kill(self) -> None:
        """The process, and what it has started that stayed in its group."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _say(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
