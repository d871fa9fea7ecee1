"""Delay, jitter and loss of packets between network namespaces where the kernel has no netem.

Theory of operation. The kernel takes the packets of a link out of their way, where they come from
their host's end of the veth pair (those of clients: where they go into the target's), and hands
them to a TAP device: a `clsact` filter with a `mirred` action. This process reads them there, drops
some, holds the others for as long as the link says, and sends them on: into the target's veth
pair, past all filters, or back into the bridge if they are for clients. Each packet has its own
time, so one may overtake another, as with netem. What is under way when the link is mended still
arrives.

The TAP device is gone when this process is.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import random
import socket
import struct
from pathlib import Path
from typing import Protocol

from chaos.testbed.proxy import Condition

TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
ADDRESSES = slice(26, 34)  # of an Ethernet frame with an IPv4 packet: its source and target
MAX_FRAME_BYTES = 65_536
FRAMES_A_TURN = 64


class Way(Protocol):
    """One direction between two hosts."""

    @property
    def condition(self) -> Condition: ...


def may_open() -> bool:
    """Whether this machine has TAP devices, and for us."""
    return os.access(TUN, os.R_OK | os.W_OK)


def diversion(match: str, device: str) -> list[str]:
    """For `tc filter add`: packets that match go to the device instead."""
    return [
        *("protocol", "ip", "u32", "match", "ip", *match.split()),
        *("action", "mirred", "egress", "redirect", "dev", device),
    ]


class NetworkEmulator:
    """`device`: the name of its TAP device, there once it is open; whoever opened it puts it into
    the bridge. Its methods belong to one event loop."""

    def __init__(self, device: str, rng: random.Random) -> None:
        self.device = device
        self._rng = rng
        self._ways: dict[bytes, tuple[Way, str]] = {}
        self._tap = -1
        self._sockets: dict[str, socket.socket] = {}
        self._under_way: set[asyncio.TimerHandle] = set()

    @property
    def is_open(self) -> bool:
        return self._tap >= 0

    def open(self) -> None:
        """Make the device. Raises OSError."""
        self._tap = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        wanted = struct.pack("16sH22x", self.device.encode(), IFF_TAP | IFF_NO_PI)
        fcntl.ioctl(self._tap, TUNSETIFF, wanted)
        asyncio.get_running_loop().add_reader(self._tap, self._read)

    def close(self) -> None:
        """What is under way is lost. Idempotent."""
        if self._tap < 0:
            return
        asyncio.get_running_loop().remove_reader(self._tap)
        for handle in self._under_way:
            handle.cancel()
        for one in self._sockets.values():
            one.close()
        os.close(self._tap)
        self._tap = -1
        self._sockets.clear()

    def know(self, source: str, target: str, way: Way, veth: str) -> None:
        """Packets from one address to another are on this way, which ends at this veth device; at
        clients if it is empty."""
        self._ways[socket.inet_aton(source) + socket.inet_aton(target)] = (way, veth)

    def _read(self) -> None:
        for _ in range(FRAMES_A_TURN):
            try:
                frame = os.read(self._tap, MAX_FRAME_BYTES)
            except BlockingIOError:
                return
            way, veth = self._ways.get(frame[ADDRESSES], (None, ""))
            if way is not None:
                self._pass(frame, way.condition, veth)

    def _pass(self, frame: bytes, condition: Condition, veth: str) -> None:
        if self._rng.randrange(1_000) < condition.loss_permille:
            return
        delay_ms = condition.delay_ms + self._rng.uniform(0, condition.jitter_ms)
        loop = asyncio.get_running_loop()

        def send() -> None:
            self._under_way.discard(handle)
            self._send(frame, veth)

        handle = loop.call_later(delay_ms / 1_000, send)
        self._under_way.add(handle)

    def _send(self, frame: bytes, veth: str) -> None:
        """A packet that finds no room, or whose target has gone, is lost, as on any network."""
        try:
            if veth:
                self._into(veth).send(frame)
            else:
                os.write(self._tap, frame)
        except OSError as error:
            if error.errno not in {errno.ENOBUFS, errno.EAGAIN, errno.ENETDOWN, errno.ENXIO}:
                raise

    def _into(self, veth: str) -> socket.socket:
        found = self._sockets.get(veth)
        if found is None:
            found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            found.setblocking(False)
            found.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            found.bind((veth, 0))
            self._sockets[veth] = found
        return found
