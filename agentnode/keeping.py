"""The worker's side of its keeper (`agentnode.keeper`): started, told what is held, heard, and
started again when it ends. Everything belongs to the event loop and nothing waits.

Without a keeper, or while it is starting, the worker's own heartbeats do the same work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import structlog

from agentnode.held import HeldTask

_ALIVE_PERIOD_S: Final = 1.0
_RESTART_S: Final = 1.0
_MAX_READ: Final = 256 * 1024


class Listener(Protocol):
    """What is told of the leases."""

    def renewed(self, keys: Sequence[tuple[str, int]], sent_at: float) -> None: ...

    def lost(self, task_id: str, fencing_token: int, detail: str) -> None: ...


class KeeperProcess:
    """The keeper of one worker. `session`: its id (0 = none is open) and TTL in ms."""

    def __init__(
        self,
        endpoints: str,
        session: Callable[[], tuple[int, int]],
        *,
        command: Sequence[str] = (sys.executable, "-P", "-m", "agentnode.keeper"),
    ) -> None:
        self._endpoints = endpoints
        self._session = session
        self._command = tuple(command)
        self._listener: Listener | None = None
        self._held: dict[tuple[str, int], HeldTask] = {}
        self._link: socket.socket | None = None
        self._rest = b""
        self._ready = False
        self._hold: dict[tuple[str, int], HeldTask] = {}  # not told yet
        self._drop: list[tuple[str, int]] = []
        self._flushing = False
        self._log = structlog.get_logger("agentnode.keeper")

    async def run(self, listener: Listener) -> None:
        """Keep a keeper running, until cancelled."""
        self._listener = listener
        while True:
            with contextlib.suppress(OSError):
                await self._run_once()
            self._log.warning("the keeper of leases has ended; it is started again")
            await asyncio.sleep(_RESTART_S)

    def hold(self, held: HeldTask) -> None:
        """Keep this lease."""
        self._held[held.key] = self._hold[held.key] = held
        self._flush_soon()

    def drop(self, held: HeldTask) -> None:
        """Keep it no longer."""
        if self._held.pop(held.key, None) is None:
            return
        if self._hold.pop(held.key, None) is None:
            self._drop.append(held.key)
            self._flush_soon()

    def hear(self) -> None:
        """Take in what the keeper has said, now: before a lease is believed to be over."""
        while self._link is not None:
            try:
                data = self._link.recv(_MAX_READ)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    async def _run_once(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *(str(theirs.fileno()), str(os.getpid()), self._endpoints),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._link, self._rest, self._ready = ours, b"", False
        self._hold, self._drop = dict(self._held), []
        loop.add_reader(ours, self.hear)
        alive = asyncio.ensure_future(self._say_alive())
        try:
            await process.wait()
        finally:
            alive.cancel()
            self._hang_up()
            ours.close()
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            asyncio.get_running_loop().remove_reader(link)
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    async def _say_alive(self) -> None:
        while True:
            self._flush()
            await asyncio.sleep(_ALIVE_PERIOD_S)

    def _flush_soon(self) -> None:
        """What changes in one turn of the event loop goes out together, in the next."""
        if not self._flushing and self._link is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._link is None:
            return
        message: dict[str, Any] = {"session": self._session()}
        if self._hold:
            message["hold"] = [
                (*key, held.claim.lease_ttl_ms, held.lease_start)
                for key, held in self._hold.items()
            ]
        if self._drop:
            message["drop"] = self._drop
        self._hold, self._drop = {}, []
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            sent = self._link.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            self._hang_up()  # it does not read, or is gone: another one is started

    def _take(self, message: dict[str, Any]) -> None:
        assert self._listener is not None
        if not self._ready:
            self._ready = True
            self._log.info("leases are kept by a process of their own")
        renewed = [(task_id, token) for task_id, token in message["renewed"]]
        self._listener.renewed(renewed, message["at"])
        for task_id, token, reason in message["refused"]:
            self._listener.lost(task_id, token, reason)
