"""A simulated network: one FIFO connection per ordered pair of nodes, as the real transport has.

A connection that breaks loses what is in flight and tells the sending side; it comes back after a
while if nothing stands in its way. A message is copied through msgpack, as on the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import msgpack

from chaos.sim.clock import SimClock

RECONNECT_S = 0.01


@dataclass(slots=True)
class _Link:
    epoch: int = 0
    up: bool = False
    cut: bool = False
    last_arrival: float = 0.0
    slow: float = 1.0


class SimNetwork:
    """Connections between all pairs of `nodes`. Deliveries go to the callbacks."""

    def __init__(
        self,
        clock: SimClock,
        rng: Random,
        nodes: list[str],
        deliver: Callable[[str, str, Any], None],
        on_connected: Callable[[str, str], None],
        on_disconnected: Callable[[str, str], None],
        is_alive: Callable[[str], bool],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._deliver = deliver
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._is_alive = is_alive
        self._links = {(a, b): _Link() for a in nodes for b in nodes if a != b}
        self.sent = 0

    def send(self, source: str, target: str, message: dict[str, Any]) -> bool:
        """Queue a message; False if there is no connection."""
        link = self._links[source, target]
        if not link.up:
            return False
        self.sent += 1
        data = msgpack.packb(message)
        delay = self._rng.uniform(0.0002, 0.003) * link.slow
        arrival = max(link.last_arrival, self._clock.now + delay)
        link.last_arrival = arrival
        epoch = link.epoch

        def arrive() -> None:
            if link.epoch == epoch and self._is_alive(target):
                self._deliver(source, target, msgpack.unpackb(data, strict_map_key=False))

        self._clock.after(arrival - self._clock.now, arrive)
        return True

    def break_link(self, source: str, target: str, *, cut: bool) -> None:
        """Reset a connection; `cut`: it does not come back before `heal`."""
        link = self._links[source, target]
        link.cut = link.cut or cut
        if link.up:
            link.up = False
            link.epoch += 1
            link.last_arrival = 0.0
            if self._is_alive(source):
                self._on_disconnected(source, target)
        self._dial(source, target)

    def heal(self, source: str, target: str) -> None:
        link = self._links[source, target]
        link.cut = False
        link.slow = 1.0
        self._dial(source, target)

    def slow_down(self, source: str, target: str, factor: float) -> None:
        """Multiply the delays of a link until it is healed."""
        self._links[source, target].slow = factor

    def node_up(self, node: str) -> None:
        """A node has started: connections from and to it are made."""
        for source, target in self._links:
            if node in (source, target):
                self._dial(source, target)

    def node_down(self, node: str) -> None:
        """A node is dead: its connections break."""
        for source, target in self._links:
            if node in (source, target):
                self.break_link(source, target, cut=False)

    def pairs(self) -> list[tuple[str, str]]:
        return list(self._links)

    def _dial(self, source: str, target: str) -> None:
        delay = RECONNECT_S * self._rng.uniform(0.1, 5.0)

        def connect() -> None:
            link = self._links[source, target]
            alive = self._is_alive(source) and self._is_alive(target)
            if alive and not link.cut and not link.up:
                link.up = True
                self._on_connected(source, target)

        self._clock.after(delay, connect)
