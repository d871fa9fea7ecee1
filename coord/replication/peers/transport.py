"""Messages between the nodes of a cluster, over TCP.

Theory of operation. Every node dials every other; the connection it dialled carries its messages
to that peer, the one it accepted carries the peer's. So there is one connection per peer and
direction, and an order among the messages of each: first in, first out, with losses only where a
connection broke. A newer connection from a peer closes the older one before it is taken, and
nothing of the older is delivered from then on. A connection is of a peer only after the handshake
named the right cluster, the right two nodes and a spoken protocol version.

Nothing here blocks or raises for what a peer does. Each outgoing buffer is bounded: what does not
fit is not sent, and the caller is told. A silent connection (no pong, no message) is closed after
the read time-out, so that a vanished machine is noticed. All methods belong to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from coord.replication.levels import Levels, too_low
from coord.replication.peers.connections import Incoming, OutgoingConnection
from coord.replication.peers.frames import pack
from coord.replication.peers.handshake import Hello, Refusal, RefusedError, Welcome, check_hello
from coord.replication.peers.log import PeerLog
from coord.replication.peers.runs import OwnRun, PeerRuns

log = structlog.get_logger(__name__)

MAX_UNKNOWN_CONNECTIONS = 64  # accepted and not yet past the handshake
_COPIED = frozenset({Refusal.OLDER_COPY, Refusal.CLONE})
_LASTING = _COPIED | {Refusal.LEVEL_TOO_LOW, Refusal.BEYOND_REASON}


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Sizes and times of a transport."""

    max_frame_bytes: int = 64 * 1024 * 1024
    send_buffer_bytes: int = 32 * 1024 * 1024  # per peer
    connect_timeout_ms: int = 1_000  # to connect and to be welcomed
    ping_interval_ms: int = 500
    read_timeout_ms: int = 3_000  # > ping_interval_ms; also how long a dead link can hold up
    backoff_min_ms: int = 20
    backoff_max_ms: int = 500
    one_way_after_ms: int = 5_000  # > backoff_max_ms; then one direction alone is worth a word
    backoff_lasting_ms: int = 2_000  # after a refusal that only people can do something about


@dataclass(slots=True, eq=False)
class _Peer:
    """A configured peer and its connections; `outgoing` is set while it is welcome there."""

    peer_id: str
    address: str
    dialling: asyncio.Task[None] | None = None
    outgoing: OutgoingConnection | None = None
    incoming: Incoming | None = None
    redial: asyncio.Event = field(default_factory=asyncio.Event)
    one_way_since: float | None = None  # only one of the two directions works


def split_address(address: str) -> tuple[str, int]:
    """`host:port` or `[ipv6]:port`; ValueError for anything else."""
    host, separator, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{address!r} is not an address of the form host:port")
    return host, int(port)


class PeerTransport:
    """This node's end of all connections to its peers.

    `own_run()` tells which run of the node this is; `runs` knows those of the peers. The callbacks
    run on the event loop and must be set before `start`. `on_connected` and `on_disconnected` are
    about the outgoing direction, the one `send` uses. A node that is not known is refused and gets
    what `members` returns, of at most some 3 KiB; on its side `on_refused` is called with that.
    `on_copied` is called when a peer has seen another run of this node than there can be, with what
    is wrong. `levels`: what this build supports and what is required of peers; what they advertise
    is noted there. With `ssl_server` and `ssl_client` all connections are TLS."""

    def __init__(
        self,
        self_id: str,
        cluster_id: str,
        own_run: Callable[[], OwnRun],
        listen_address: str,
        *,
        on_message: Callable[[str, Any], None],
        on_connected: Callable[[str], None] = lambda peer_id: None,
        on_disconnected: Callable[[str], None] = lambda peer_id: None,
        on_refused: Callable[[str, object], None] = lambda peer_id, members: None,
        on_copied: Callable[[str, str], None] = lambda peer_id, what: None,
        members: Callable[[], object] = lambda: None,
        runs: PeerRuns | None = None,
        levels: Levels | None = None,
        limits: TransportLimits | None = None,
        rng: random.Random | None = None,
        ssl_server: ssl.SSLContext | None = None,
        ssl_client: ssl.SSLContext | None = None,
    ) -> None:
        self.on_message = on_message
        self.on_connected = on_connected
        self.on_disconnected = on_disconnected
        self.on_refused = on_refused
        self.on_copied = on_copied
        self.members = members
        self._runs = runs or PeerRuns()
        self._levels = levels or Levels()
        self._self_id = self_id
        self._cluster_id = cluster_id
        self._own_run = own_run
        self._listen_address = listen_address
        self._limits = limits or TransportLimits()
        self._rng = rng or random.Random()
        self._ssl_server = ssl_server
        self._ssl_client = ssl_client
        self._peers: dict[str, _Peer] = {}
        self._accepted: set[Incoming] = set()
        self._accept_count = 0
        self._server: asyncio.Server | None = None
        self._watching: asyncio.Task[None] | None = None
        self._running = False
        self._log = PeerLog(log.bind(node_id=self_id))

    @property
    def one_way(self) -> tuple[str, ...]:
        """Peers that are connected to this node, but do not answer at their address."""
        return tuple(
            peer.peer_id
            for peer in self._peers.values()
            if peer.incoming is not None and peer.outgoing is None
        )

    async def start(self) -> None:
        """Listen and dial the known peers. Raises OSError if the address cannot be listened on."""
        host, port = split_address(self._listen_address)
        loop = asyncio.get_running_loop()
        self._running = True
        try:
            self._server = await loop.create_server(
                self._accept, host, port, ssl=self._ssl_server, reuse_address=True
            )
        except OSError as error:
            self._running = False
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            raise OSError(f"cannot listen for peers on {self._listen_address}: {why}") from error
        except BaseException:
            self._running = False
            raise
        self._watching = asyncio.create_task(self._watch(), name="peer-transport-watch")
        for peer in self._peers.values():
            self._start_dialling(peer)

    async def stop(self) -> None:
        """Close everything; no callback is called from here on. Idempotent."""
        self._running = False
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = [peer.dialling for peer in self._peers.values()] + [self._watching]
        self._watching = None
        for peer in self._peers.values():
            peer.dialling = None
        await _cancel([task for task in tasks if task is not None])
        for peer in self._peers.values():
            if peer.outgoing is not None:
                peer.outgoing.abort("stopped")
        for incoming in list(self._accepted):
            incoming.abort("stopped")
        if server is not None:
            await server.wait_closed()

    @property
    def listen_port(self) -> int:
        """The port listened on (of use when port 0 was asked for). Only after `start`."""
        if self._server is None:
            raise RuntimeError("the transport is not listening")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        """Replace the set of peers (id -> `host:port`); this node's own id is ignored.

        Connections of removed peers, and to peers that moved, are closed. Raises ValueError for a
        malformed address, then nothing is changed."""
        wanted = {peer_id: a for peer_id, a in addresses.items() if peer_id != self._self_id}
        for address in wanted.values():
            split_address(address)
        for peer in list(self._peers.values()):
            if wanted.get(peer.peer_id) != peer.address:
                self._remove_peer(peer, keep_incoming=peer.peer_id in wanted)
        for peer_id, address in wanted.items():
            known = self._peers.get(peer_id)
            if known is None or known.address != address:
                peer = self._peers[peer_id] = _Peer(peer_id, address)
                peer.incoming = known.incoming if known else None
                self._start_dialling(peer)
        self._levels.keep(self._peers.keys())

    def require_level(self, level: int) -> None:
        """Refuse, from now on, all whose builds support less; connections of such are closed."""
        if not self._levels.require(level):
            return
        for peer in list(self._peers.values()):
            incoming, outgoing = peer.incoming, peer.outgoing
            if incoming and incoming.hello and self._levels.is_too_low(incoming.hello.level):
                incoming.abort(too_low(peer.peer_id, incoming.hello.level, level))
            if outgoing and self._levels.is_too_low(outgoing.level):
                outgoing.abort(too_low(peer.peer_id, outgoing.level, level))

    def send(self, peer_id: str, message: object) -> bool:
        """Queue a message; never blocks. False: not connected, or the send buffer is full.

        True promises nothing about delivery. ValueError for a message over `max_frame_bytes`."""
        peer = self._peers.get(peer_id)
        if peer is None or peer.outgoing is None:
            return False
        return peer.outgoing.send(pack(message), self._limits.send_buffer_bytes)

    def flush(self) -> None:
        """Write now what was sent in this turn of the loop, instead of at its end."""
        for peer in self._peers.values():
            if peer.outgoing is not None:
                peer.outgoing.flush()

    def send_buffer_bytes(self, peer_id: str) -> int:
        """Bytes queued to a peer that the system has not taken yet; 0 when not connected."""
        peer = self._peers.get(peer_id)
        return peer.outgoing.buffered_bytes if peer and peer.outgoing else 0

    def connected(self, peer_id: str) -> bool:
        """Whether messages can be sent to the peer now."""
        peer = self._peers.get(peer_id)
        return peer is not None and peer.outgoing is not None

    # Dialling

    def _start_dialling(self, peer: _Peer) -> None:
        if self._running and self._server is not None:
            name = f"peer-transport-dial-{peer.peer_id}"
            peer.dialling = asyncio.create_task(self._dial_forever(peer), name=name)

    async def _dial_forever(self, peer: _Peer) -> None:
        loop = asyncio.get_running_loop()
        limits = self._limits
        delay_ms = limits.backoff_min_ms
        while True:
            peer.redial.clear()
            started = loop.time()
            try:
                await self._dial_once(peer)
            except (OSError, TimeoutError, RefusedError) as error:
                asked_for = f"node {peer.peer_id!r} of cluster {self._cluster_id!r}"
                self._log.unreachable(peer.peer_id, peer.address, error, asked_for)
                if isinstance(error, RefusedError) and error.refusal in _LASTING:
                    delay_ms = limits.backoff_lasting_ms
                if isinstance(error, RefusedError) and error.members is not None:
                    self._call("on_refused", self.on_refused, peer.peer_id, error.members)
                if isinstance(error, RefusedError) and error.refusal in _COPIED:
                    self._call("on_copied", self.on_copied, peer.peer_id, error.detail)
            if loop.time() - started > 1.0:
                delay_ms = limits.backoff_min_ms
            jittered_s = delay_ms * self._rng.uniform(0.5, 1.0) / 1000
            delay_ms = min(limits.backoff_max_ms, delay_ms * 2)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(jittered_s):
                    await peer.redial.wait()

    async def _dial_once(self, peer: _Peer) -> None:
        """Connect, shake hands, and wait until the connection has ended."""
        host, port = split_address(peer.address)
        hello = self._hello_to(peer)
        timeout_s = self._limits.connect_timeout_ms / 1000
        outgoing = OutgoingConnection(
            hello, self._limits.max_frame_bytes, lambda _, why: self._outgoing_ended(peer, why)
        )
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: outgoing, host, port, ssl=self._ssl_client
                )
                await outgoing.welcomed
            self._outgoing_opened(peer, outgoing)
            await outgoing.closed.wait()
        finally:
            outgoing.abort("given up")

    def _hello_to(self, peer: _Peer) -> Hello:
        own = self._own_run()
        return Hello(
            self._cluster_id,
            self._self_id,
            peer.peer_id,
            own.boot_id,
            level=self._levels.own,
            run_id=own.run_id,
            is_new=own.is_new,
            runs=own.runs,
        )

    def _outgoing_opened(self, peer: _Peer, outgoing: OutgoingConnection) -> None:
        """Raises RefusedError if it is not to be used."""
        if not outgoing.is_open:
            return
        self._check_level(peer.peer_id, outgoing.level)
        peer.outgoing = outgoing
        self._log.connected(peer.peer_id, peer.address)
        self._call("on_connected", self.on_connected, peer.peer_id)

    def _outgoing_ended(self, peer: _Peer, reason: str) -> None:
        if peer.outgoing is None:
            return
        peer.outgoing = None
        self._log.disconnected(peer.peer_id, reason)
        self._call("on_disconnected", self.on_disconnected, peer.peer_id)

    # Accepting

    def _accept(self) -> Incoming:
        self._accept_count += 1
        incoming = Incoming(
            self._accept_count,
            self._limits.max_frame_bytes,
            self._admit,
            self._deliver,
            self._incoming_ended,
        )
        self._accepted.add(incoming)
        if not self._running:  # it was on its way when this node stopped
            incoming.abort("stopped")
        unknown = [c for c in self._accepted if c.hello is None and c is not incoming]
        if len(unknown) >= MAX_UNKNOWN_CONNECTIONS:
            min(unknown, key=lambda c: c.order).abort("too many connections before a handshake")
        return incoming

    def _admit(self, incoming: Incoming, hello: Hello) -> Welcome:
        """Take a connection as its peer's only one; RefusedError if it is not to be taken."""
        peer = self._peers.get(hello.node_id) if self._running else None
        try:
            check_hello(hello, self._cluster_id, self._self_id)
            if peer is None:
                raise self._unknown(hello)
            self._check_level(hello.node_id, hello.level)
            self._runs.take(hello, self._own_run())
            self._supersede(peer, incoming, hello)
        except RefusedError as error:
            is_peer = peer is not None and hello.cluster_id == self._cluster_id
            self._log.refused(hello, incoming.remote, error, is_peer=is_peer)
            raise
        self._log.welcomed(hello.node_id)
        return Welcome(self._levels.own)

    def _check_level(self, peer_id: str, level: int) -> None:
        """Note what a peer's build supports; RefusedError if that is too little."""
        self._levels.heard(peer_id, level)
        if self._levels.is_too_low(level):
            detail = too_low(peer_id, level, self._levels.required)
            raise RefusedError(Refusal.LEVEL_TOO_LOW, detail, by_us=True)

    def _unknown(self, hello: Hello) -> RefusedError:
        """Nobody sends its messages to a node that is no member; so it is told here that it is
        none."""
        detail = f"node {hello.node_id!r} is not a member known to {self._self_id!r}"
        return RefusedError(Refusal.UNKNOWN_NODE, detail, self.members() if self._running else None)

    def _supersede(self, peer: _Peer, incoming: Incoming, hello: Hello) -> None:
        older = peer.incoming
        if older is not None and older.hello is not None:
            if (hello.boot_id, incoming.order) < (older.hello.boot_id, older.order):
                raise RefusedError(Refusal.SUPERSEDED, "a newer connection is open")
            older.abort("superseded by a newer connection")
        peer.incoming = incoming
        peer.redial.set()  # it is up, so no need to wait for the end of a backoff

    def _deliver(self, incoming: Incoming, message: Any) -> None:
        hello = incoming.hello
        if not self._running or hello is None:
            return
        peer = self._peers.get(hello.node_id)
        if peer is None or peer.incoming is not incoming:
            return
        if not self._call("on_message", self.on_message, hello.node_id, message):
            incoming.abort("a message could not be handled")

    def _incoming_ended(self, incoming: Incoming, reason: str) -> None:
        self._accepted.discard(incoming)
        if incoming.hello is None:
            if self._running and reason.startswith("malformed"):
                error = RefusedError(Refusal.BAD_HANDSHAKE, reason)
                self._log.refused(None, incoming.remote, error, is_peer=False)
            return
        peer_id = incoming.hello.node_id
        peer = self._peers.get(peer_id)
        if peer is not None and peer.incoming is incoming:
            peer.incoming = None
        self._log.ended(peer_id, reason)

    # Both directions

    def _remove_peer(self, peer: _Peer, keep_incoming: bool) -> None:
        del self._peers[peer.peer_id]
        if peer.dialling is not None:
            peer.dialling.cancel()
        if peer.outgoing is not None:
            peer.outgoing.abort("the peer was removed or has moved")
        if peer.incoming is not None and not keep_incoming:
            peer.incoming.abort("the peer was removed")

    async def _watch(self) -> None:
        """Ping what is silent, close what stays silent or never shakes hands."""
        interval_s = self._limits.ping_interval_ms / 1000
        loop = asyncio.get_running_loop()
        due = loop.time() + interval_s
        while True:
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            self._log.tick()
            late, due = now > due + interval_s, now + interval_s
            if late:  # the loop stood still: what was sent meanwhile is not read yet
                continue
            for peer in list(self._peers.values()):
                self._watch_outgoing(peer, now)
                self._watch_directions(peer, now)
            for incoming in list(self._accepted):
                self._close_silent(incoming, now)

    def _watch_outgoing(self, peer: _Peer, now: float) -> None:
        outgoing = peer.outgoing
        if outgoing is not None:
            outgoing.note_progress()
            if not self._close_silent(outgoing, now):
                outgoing.send_ping()

    def _watch_directions(self, peer: _Peer, now: float) -> None:
        """Say once that only one direction works: one of the two nodes is not where the members
        have it, or cannot be reached there."""
        if (peer.incoming is None) is (peer.outgoing is None):
            peer.one_way_since = None
        elif peer.one_way_since is None:
            peer.one_way_since = now
        elif (now - peer.one_way_since) * 1000 > self._limits.one_way_after_ms:
            peer.one_way_since = math.inf
            self._log.one_way(peer.peer_id, peer.address, reached=peer.outgoing is not None)

    def _close_silent(self, connection: Incoming | OutgoingConnection, now: float) -> bool:
        shaking_hands = isinstance(connection, Incoming) and connection.hello is None
        limits = self._limits
        since = connection.opened_at if shaking_hands else connection.heard_at
        limit_ms = limits.connect_timeout_ms if shaking_hands else limits.read_timeout_ms
        silent = (now - since) * 1000 > limit_ms
        if silent:
            connection.abort(f"nothing heard for {limit_ms} ms")
        return silent

    def _call(self, name: str, callback: Callable[..., None], *args: Any) -> bool:
        """Run a callback; an exception in it is logged and must not harm the connections."""
        if not self._running:
            return True
        try:
            callback(*args)
        except Exception as error:
            self._log.callback_failed(name, args[0], error)
            return False
        return True


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
