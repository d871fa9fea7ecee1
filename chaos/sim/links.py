"""A simulated network: one connection per ordered pair of nodes, each in order, as the real
transport has it, and a network around them that is as bad as networks are.

A connection that breaks tells its sending side; it comes back after a while if nothing stands in
its way. What it held is lost, or (`late`) comes out of it some time after a newer one has opened.
Some messages come twice. A message is copied through msgpack, as on the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgpack

from chaos.sim.clock import SimClock

RECONNECT_S = 0.01
MESSAGE_S = (0.0002, 0.003)
LATE_S = (0.02, 1.5)


@dataclass(slots=True)
class _Link:
    source: str
    target: str
    epoch: int = 0  # counts connections
    up: bool = False
    cut: bool = False
    slow: float = 1.0
    last_arrival: float = 0.0
    in_flight: deque[bytes] = field(default_factory=deque)


class SimNetwork:
    """Connections between all pairs of nodes."""

    def __init__(
        self,
        clock: SimClock,
        rng: Random,
        nodes: tuple[str, ...],
        deliver: Callable[[str, str, Any], None],
        on_connected: Callable[[str, str], None],
        on_disconnected: Callable[[str, str], None],
        is_alive: Callable[[str], bool],
        knows: Callable[[str, str], bool],
        *,
        distance: float,
        late: float,
        twice: float,
        use_list: bool,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._deliver = deliver
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._is_alive = is_alive
        self._knows = knows
        self._distance = distance
        self._late = late
        self._twice = twice
        self._use_list = use_list
        self._links = {(a, b): _Link(a, b) for a in nodes for b in nodes if a != b}
        self.sent = 0

    def send(self, source: str, target: str, message: dict[str, Any]) -> bool:
        """Queue a message; False if there is no connection."""
        link = self._links[source, target]
        if not link.up:
            return False
        self.sent += 1
        low, high = MESSAGE_S
        delay = (low + (high - low) * self._rng.random()) * self._distance * link.slow
        arrival = self._clock.now + delay
        link.last_arrival = max(link.last_arrival, arrival)
        epoch = link.epoch
        link.in_flight.append(msgpack.packb(message))
        self._clock.at(link.last_arrival, lambda: self._arrive(link, epoch))
        return True

    def break_link(self, source: str, target: str, *, cut: bool) -> None:
        """Reset a connection; `cut`: it does not come back before `heal`."""
        link = self._links[source, target]
        link.cut = link.cut or cut
        if link.up:
            link.up = False
            link.epoch += 1
            link.last_arrival = 0.0
            self._lose(link)
            if self._is_alive(source):
                self._on_disconnected(source, target)
        self._dial(link)

    def heal(self) -> None:
        """All links are as good as new."""
        for link in self._links.values():
            link.cut = False
            link.slow = 1.0
            if not link.up:
                self._dial(link)

    def slow_down(self, source: str, target: str, factor: float) -> None:
        """Multiply the delays of a link until it is healed."""
        self._links[source, target].slow = factor

    def node_up(self, node: str) -> None:
        """A node has started: connections from and to it are made."""
        for link in self._of(node):
            self._dial(link)

    def node_down(self, node: str) -> None:
        """A node is dead: its connections break."""
        for link in self._of(node):
            self.break_link(link.source, link.target, cut=False)

    def node_knows_others(self, node: str) -> None:
        """A node talks to others than before: a connection needs both ends to want it."""
        for link in self._of(node):
            if not link.up:
                self._dial(link)
            elif not self._wanted(link):
                self.break_link(link.source, link.target, cut=False)

    def _wanted(self, link: _Link) -> bool:
        return self._knows(link.source, link.target) and self._knows(link.target, link.source)

    def pairs(self) -> list[tuple[str, str]]:
        return list(self._links)

    def _of(self, node: str) -> list[_Link]:
        return [link for pair, link in self._links.items() if node in pair]

    def _arrive(self, link: _Link, epoch: int) -> None:
        if link.epoch != epoch:
            return
        data = link.in_flight.popleft()
        self._hand_over(link, data)
        if self._twice and self._rng.random() < self._twice:
            self._clock.after(self._rng.uniform(0, LATE_S[1]), lambda: self._hand_over(link, data))

    def _hand_over(self, link: _Link, data: bytes) -> None:
        if self._is_alive(link.target):
            message = msgpack.unpackb(data, strict_map_key=False, use_list=self._use_list)
            self._deliver(link.source, link.target, message)

    def _lose(self, link: _Link) -> None:
        """The connection held these; in order, some of them may still come through."""
        held = list(link.in_flight)
        link.in_flight.clear()
        for data in held:
            if self._late and self._rng.random() < self._late:
                delay = self._rng.uniform(*LATE_S)
                self._clock.after(delay, lambda data=data: self._hand_over(link, data))  # type: ignore[misc]

    def _dial(self, link: _Link) -> None:
        def connect() -> None:
            alive = self._is_alive(link.source) and self._is_alive(link.target)
            if alive and not link.cut and not link.up and self._wanted(link):
                link.up = True
                self._on_connected(link.source, link.target)

        self._clock.after(RECONNECT_S * self._rng.uniform(0.1, 5.0), connect)
