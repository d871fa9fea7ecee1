"""The keeper: a process beside a worker that renews its leases and keeps its session alive, so that
neither depends on the interpreter that the handlers share.

    python -m agentnode.keeper FD PARENT_PID ENDPOINTS

FD is a socket to the worker; each message on it is a line of JSON. The worker says what it holds
(`hold`, `drop`) and under which session it lives; a message without news says that its event loop
turns. The keeper says which leases it has renewed, from when they count, and which were refused.

It renews nothing for a worker that is gone or suspended, and nothing once the worker's event loop
has been silent for so long that it will hardly finish its tasks: others are to have them then. It
ends with the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from agentnode.ports import CoordError, HeartbeatItem
from coord.client import Client, SessionExpiredError

Key = tuple[str, int]

_PARENT_CHECK_S: Final = 0.2
_LEAST_PERIOD_S: Final = 0.02
_MIN_TIMEOUT_MS: Final = 250
_RETRY_S: Final = 0.1
_FIRST_CONTACT_MS: Final = 2_000
_MAX_ITEMS: Final = 1_000
# How long a worker's event loop may be silent: so many leases, and at least so long.
SILENT_LEASES: Final = 2
SILENT_S: Final = 30.0


@dataclass(slots=True)
class Lease:
    """A lease to keep. Times on the monotonic clock, which all processes of a machine share."""

    ttl_s: float
    due_s: float  # the next renewal


class Keeper:
    """What one worker holds, and its renewal."""

    def __init__(self, client: Client, link: asyncio.StreamWriter, parent_pid: int) -> None:
        self._client = client
        self._link = link
        self._parent_pid = parent_pid
        self._leases: dict[Key, Lease] = {}
        self._session_id = 0
        self._session_period_s = 5.0
        self._heard_s = time.monotonic()
        self._news = asyncio.Event()

    def take(self, message: dict[str, Any]) -> None:
        """A message of the worker."""
        self._heard_s = time.monotonic()
        for task_id, token in message.get("drop", ()):
            self._leases.pop((task_id, token), None)
        for task_id, token, ttl_ms, since_s in message.get("hold", ()):
            ttl_s = ttl_ms / 1_000
            self._leases[task_id, token] = Lease(ttl_s, since_s + ttl_s / 4)
            self._news.set()
        if "session" in message:
            self._session_id, ttl_ms = message["session"]
            self._session_period_s = ttl_ms / 4_000

    async def begin(self) -> None:
        """Find the cluster, and say that from now on leases are kept."""
        with contextlib.suppress(CoordError):
            await self._client.cluster.status(timeout_ms=_FIRST_CONTACT_MS)
        self._say({"renewed": [], "at": 0.0, "refused": []})

    async def keep_leases(self) -> None:
        """Renew what is due, until cancelled."""
        while True:
            now_s = time.monotonic()
            due = [key for key, lease in self._leases.items() if lease.due_s <= now_s]
            if due and self._may_act():
                # What is due soon rides along.
                due = [k for k, one in self._leases.items() if one.due_s <= now_s + one.ttl_s / 8]
                await self._renew(due[:_MAX_ITEMS])
            await self._until_due()

    async def keep_session(self) -> None:
        """Keep the session alive, until cancelled."""
        while True:
            await asyncio.sleep(self._session_period_s)
            session_id = self._session_id
            if not session_id or not self._may_act():
                continue
            try:
                timeout_ms = max(int(self._session_period_s * 1_000), _MIN_TIMEOUT_MS)
                await self._client.sessions.keep_alive(session_id, timeout_ms=timeout_ms)
            except SessionExpiredError:
                if self._session_id == session_id:
                    self._session_id = 0  # the worker finds out, and says which is the next
            except CoordError:
                continue

    async def _until_due(self) -> None:
        now_s = time.monotonic()
        wait_s = min((lease.due_s for lease in self._leases.values()), default=now_s + 60) - now_s
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(wait_s, _LEAST_PERIOD_S)):
                await self._news.wait()

    def _may_act(self) -> bool:
        longest_s = max((lease.ttl_s for lease in self._leases.values()), default=0.0)
        patience_s = max(SILENT_S, SILENT_LEASES * longest_s)
        if time.monotonic() - self._heard_s > patience_s:
            return False
        return os.getppid() == self._parent_pid and not _is_suspended(self._parent_pid)

    async def _renew(self, keys: list[Key]) -> None:
        items = [HeartbeatItem(task_id, token) for task_id, token in keys]
        shortest_s = min(self._leases[key].ttl_s for key in keys)
        timeout_ms = max(int(shortest_s * 250), _MIN_TIMEOUT_MS)
        sent_s = time.monotonic()
        try:
            results = await self._client.tasks.heartbeat(items, timeout_ms=timeout_ms)
        except CoordError:
            self._postpone(keys)
            return
        renewed, refused = [], []
        for key, result in zip(keys, results, strict=True):
            lease = self._leases.get(key)
            if result.error is not None:
                self._leases.pop(key, None)
                refused.append([*key, result.error.reason])
            elif lease is not None:
                lease.due_s = sent_s + lease.ttl_s / 4
                renewed.append(key)
        self._say({"renewed": renewed, "at": sent_s, "refused": refused})

    def _postpone(self, keys: Iterable[Key]) -> None:
        again_s = time.monotonic() + _RETRY_S
        for key in keys:
            if key in self._leases:
                self._leases[key].due_s = again_s

    def _say(self, message: dict[str, Any]) -> None:
        if not self._link.is_closing():
            self._link.write(json.dumps(message).encode() + b"\n")


def _is_suspended(pid: int) -> bool:
    """Stopped by a signal or a debugger, where the system tells that."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] in {b"T", b"t", b"Z", b"X"}
    except OSError:
        return False


async def _listen(keeper: Keeper, reader: asyncio.StreamReader) -> None:
    """Until the worker is gone."""
    with contextlib.suppress(OSError):
        await keeper.begin()
        while line := await reader.readline():
            keeper.take(json.loads(line))


async def _outlive_nobody(parent_pid: int) -> None:
    """A child that a handler forked off may hold the socket open."""
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - nothing reports a change of parent
        await asyncio.sleep(_PARENT_CHECK_S)


async def keep(fd: int, parent_pid: int, endpoints: str) -> None:
    """Serve one worker until it ends."""
    link = socket.socket(fileno=fd)
    reader, writer = await asyncio.open_connection(sock=link, limit=16 * 1024 * 1024)
    async with Client(endpoints, name=f"keeper of {parent_pid}", use_session=False) as client:
        keeper = Keeper(client, writer, parent_pid)
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                _listen(keeper, reader),
                _outlive_nobody(parent_pid),
                keeper.keep_leases(),
                keeper.keep_session(),
            )
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    # At once: nothing is owed to anybody, and a renewal under way must not be waited for.
    os._exit(0)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # those are the worker's; this one ends with it
    fd, parent_pid, endpoints = sys.argv[1:]
    asyncio.run(keep(int(fd), int(parent_pid), endpoints))


if __name__ == "__main__":
    main()
