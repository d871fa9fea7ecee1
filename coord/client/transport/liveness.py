"""Noticing that a node went mute: paused, hung, or behind a link that swallows everything.

Such a node's connection stays up, so only silence tells. When a call that should be answered at
once is not, the node is asked for its status on the same connection; if that is not answered
either, the connection is given up under all its calls, which then go elsewhere under their old
sequences. Calls that wait on purpose are not watched, but are freed with the rest.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from coord.client.transport.channel import Connection
from coord.client.transport.errors import CoordError, DeadlineError
from coord.client.transport.methods import NODE_STATUS
from coord.pb import cluster_pb2 as pb

DOUBT_AFTER_S = 0.5
ANSWER_WITHIN_S = 1.0
ASK_AGAIN_AFTER_S = 1.0


class Liveness:
    """Watches calls. `on_mute` is told of a node before its connection is given up."""

    def __init__(self, on_mute: Callable[[Connection], None]) -> None:
        self._on_mute = on_mute
        self._open: Counter[str] = Counter()  # watched calls under way, by address
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, connection: Connection) -> asyncio.TimerHandle:
        """A call has gone out. `end` must follow."""
        self._open[connection.address] += 1
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.call_later(DOUBT_AFTER_S, self._doubt, connection)

    def end(self, connection: Connection, watch: asyncio.TimerHandle) -> None:
        """The call is over, however it ended."""
        watch.cancel()
        self._open[connection.address] -= 1

    async def close(self) -> None:
        checks = list(self._checks.values())
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)

    def _doubt(self, connection: Connection) -> None:
        address = connection.address
        if address not in self._checks:
            check = asyncio.get_running_loop().create_task(self._check(connection))
            self._checks[address] = check
            check.add_done_callback(lambda _: self._checks.pop(address))

    async def _check(self, connection: Connection) -> None:
        while self._open[connection.address] > 0:
            try:
                await connection.call(NODE_STATUS, pb.NodeStatusRequest(), ANSWER_WITHIN_S)
            except DeadlineError:
                self._on_mute(connection)
                await connection.close()
                return
            except CoordError:
                return  # it is gone or refuses: its calls learn that by themselves
            await asyncio.sleep(ASK_AGAIN_AFTER_S)
