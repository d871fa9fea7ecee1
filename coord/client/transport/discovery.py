"""Which node to talk to: the leader when it is known and reachable, else any node, because every
node forwards.

All known nodes are asked for their own view (NodeStatus) at first use and whenever a call fails or
a reply turns out to come from another node than the one that was called. Members that were not
configured are learned from Status; only a node that was itself reached is ever preferred. A learned
node that turns out to be of another cluster (somebody's wrong list of members) is never used.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Collection, Iterable

from google.protobuf.message import Message

from coord.client.transport.channel import Connection
from coord.client.transport.errors import CoordError
from coord.client.transport.liveness import Liveness
from coord.client.transport.methods import NODE_STATUS, STATUS
from coord.pb import cluster_pb2 as pb

PROBE_TIMEOUT_S = 1.0
REFRESH_PAUSE_S = 0.2
REFRESH_PAUSE_MAX_S = 2.0
MAX_ROUNDS = 30
SUSPECT_MIN_S = 0.1
SUSPECT_MAX_S = 1.0


class Discovery:
    """The known nodes and the one to use. Bound to the event loop of its first call."""

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._connections: dict[str, Connection] = {}
        self._suspect_until: dict[str, float] = {}
        self._node_ids: dict[str, str] = {}  # address -> node id, of nodes that answered
        self._clusters: dict[str, str] = {}  # address -> id of the cluster it was learned from
        self._current: str | None = None
        self._leader: str | None = None
        self._leader_term = 0
        self._refresh: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()  # once; calls wait for it
        self._members_known = False
        self._refresh_again = False
        self.liveness = Liveness(self.failed)
        for endpoint in endpoints:
            self.learn(endpoint)
        if not self._connections:
            raise ValueError("at least one endpoint is needed (host:port)")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every known node, configured ones first."""
        return tuple(self._connections)

    @property
    def leader_address(self) -> str | None:
        """The leader, as far as is known here."""
        return self._leader

    def learn(self, address: str) -> None:
        address = address.strip()
        if address and address not in self._connections:
            self._connections[address] = Connection(address)

    def connection(self, address: str) -> Connection:
        self.learn(address)
        return self._connections[address]

    async def ready(self, timeout_s: float) -> None:
        """Wait (a moment) for the first look around, so that the first call goes to the leader."""
        if self._looked.is_set():
            return
        self.refresh_soon()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), min(timeout_s, PROBE_TIMEOUT_S))
        self._looked.set()

    def pick(self) -> Connection:
        """The leader, else the node used last, else any node not under suspicion, else the one
        whose suspicion ends first."""
        now = time.monotonic()
        preferred = [self._leader, self._current, *self._connections]
        for address in preferred:
            if address is not None and self._suspect_until.get(address, 0.0) <= now:
                self._current = address
                return self._connections[address]
        address = min(self._connections, key=lambda a: self._suspect_until.get(a, 0.0))
        return self._connections[address]

    def nearest(self, passed_over: Collection[str]) -> Connection | None:
        """The first endpoint, in the order given, that is not under suspicion and not passed over;
        if all are, one that is only under suspicion."""
        now = time.monotonic()
        left = [address for address in self._connections if address not in passed_over]
        good = [address for address in left if self._suspect_until.get(address, 0.0) <= now]
        address = next(iter(good or left), None)
        return None if address is None else self._connections[address]

    def has_unsuspected(self) -> bool:
        """There is a node left to try at once."""
        now = time.monotonic()
        return any(self._suspect_until.get(a, 0.0) <= now for a in self._connections)

    def answered(self, connection: Connection, reply: Message | None = None) -> None:
        """The node gave an answer (a refusal is one too)."""
        connection.answered()
        self._suspect_until.pop(connection.address, None)
        if reply is None:
            return
        header = getattr(reply, "header", None)
        answerer = getattr(header, "node_id", "")
        called = self._node_ids.get(connection.address)
        if answerer and called and answerer != called:
            self.refresh_soon()  # forwarded: somebody else leads

    def failed(self, connection: Connection, *, reachable: bool = False) -> None:
        """The node gave no useful answer: others are tried first for a while. `reachable`: it did
        answer, but knows no leader."""
        if not reachable:
            connection.failed()
        pause_s = min(SUSPECT_MIN_S * 2 ** min(connection.failures, 8), SUSPECT_MAX_S)
        self._suspect_until[connection.address] = time.monotonic() + pause_s
        if self._leader == connection.address:
            self._leader = None
        if self._current == connection.address:
            self._current = None
        self.refresh_soon()

    def refresh_soon(self) -> None:
        """Look around in the background; requests made meanwhile cause one more round."""
        if self._refresh is not None and not self._refresh.done():
            self._refresh_again = True
            return
        self._refresh = asyncio.get_running_loop().create_task(self._look_around())

    async def look_around(self) -> None:
        """Return when somebody who leads has been looked for, and found if there is one."""
        self.refresh_soon()
        assert self._refresh is not None
        await asyncio.wait({self._refresh})

    async def close(self) -> None:
        self._looked.set()
        await self.liveness.close()
        if self._refresh is not None:
            self._refresh.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refresh
        await asyncio.gather(*(c.close() for c in self._connections.values()))

    async def _look_around(self) -> None:
        """Until there is a leader; an election takes a moment, a lost majority longer."""
        for round_number in range(MAX_ROUNDS):
            self._refresh_again = False
            await self._probe_all()
            if self._leader is not None and not self._refresh_again:
                return
            pause_s = min(REFRESH_PAUSE_S * (1 + round_number), REFRESH_PAUSE_MAX_S)
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))

    async def _probe_all(self) -> None:
        probes = {asyncio.ensure_future(self._probe(a)) for a in self.addresses}
        leader_named = False
        try:
            while probes and self._leader is None:
                done, probes = await asyncio.wait(probes, return_when=asyncio.FIRST_COMPLETED)
                leader_named = leader_named or any(probe.result() for probe in done)
            if self._leader is not None:
                self._looked.set()
            if not self._members_known or (leader_named and self._leader is None):
                await self._learn_members()
            if probes:
                await asyncio.wait(probes)
            self._looked.set()
        finally:
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)

    async def _probe(self, address: str) -> bool:
        """Ask one node; True when it answered and named a leader."""
        connection = self._connections[address]
        try:
            reply = await connection.call(NODE_STATUS, pb.NodeStatusRequest(), PROBE_TIMEOUT_S)
        except CoordError:
            if self._leader == address:
                self._leader = None
            return False
        connection.answered()
        if self._clusters.get(address, reply.cluster_id) != reply.cluster_id:
            self._suspect_until[address] = math.inf
            return False
        self._suspect_until.pop(address, None)
        self._node_ids[address] = reply.member.id
        if reply.member.role == "leader" and reply.member.term >= self._leader_term:
            self._leader, self._leader_term = address, reply.member.term
        elif self._leader == address:
            self._leader = None
        return bool(reply.leader)

    async def _learn_members(self) -> None:
        answered = [a for a in self.addresses if a in self._node_ids]
        for address in answered[:2]:
            try:
                reply = await self._connections[address].call(
                    STATUS, pb.StatusRequest(), PROBE_TIMEOUT_S
                )
            except CoordError:
                continue
            before = set(self.addresses)
            for member in reply.members:
                if member.address not in self._connections:
                    self.learn(member.address)
                    self._clusters[member.address] = reply.cluster_id
            self._members_known = True
            await asyncio.gather(*(self._probe(a) for a in self.addresses if a not in before))
            return
