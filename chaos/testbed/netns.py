"""Every node on a host of its own, as far as the network goes: in a network namespace, with a veth
pair to a bridge. Needs root and iproute2.

Theory of operation. Each node has an address for peers and clients, and one that only the harness
uses, so that it can look at nodes nobody else reaches. What a link carries the kernel decides: a
cut is a routing rule where the packets arrive, which drops them without a word (packets from the
node to clients are dropped where they leave); little bandwidth is a class of an htb queue at the
sending end; delay and loss are a netem queue in it, or a device of our own (`chaos.testbed.netem`)
where the kernel has no netem; a reset is `ss -K`.
Connections know nothing of it: their packets are lost and sent again as on a real network.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from chaos.testbed import netem
from chaos.testbed.netem import NetworkEmulator
from chaos.testbed.network import Network, NetworkError, Pids
from chaos.testbed.proxy import Condition, Link, Links, Mode
from chaos.testbed.socket_owner import CLIENTS
from coord.localcluster.state import NodeLayout

CLIENT_PORT, PEER_PORT = 7400, 7500
CUT_PRIORITY, LOCAL_PRIORITY = "10", "100"
MAX_PACKET = "1500"
UNLIMITED = "10gbit"
SUBNETS = range(1, 255)
RUN_DIRECTORY = "/run"  # iproute2 keeps its namespaces there


class NamespaceNetwork(Network):
    """See the module."""

    name: ClassVar[str] = "netns"

    @classmethod
    def why_not(cls) -> str:
        if os.geteuid() != 0:
            return "network namespaces need root"
        missing = [tool for tool in ("ip", "tc", "ss", "bridge") if shutil.which(tool) is None]
        return f"network namespaces need iproute2: no {', '.join(missing)}" if missing else ""

    @classmethod
    def lacks(cls) -> frozenset[str]:
        """Delay and loss take the kernel's netem or a TAP device; not every machine has one."""
        return frozenset() if _holds_packets() else frozenset({"delay", "loss"})

    def __init__(self, node_ids: Sequence[str], seed: int) -> None:
        super().__init__(node_ids, seed)
        self.links = Links(seed, lambda source, target: KernelLink(self, source, target))
        self._tag = secrets.token_hex(3)
        self._bridge = f"cb{self._tag}"
        self._subnet = ""
        self._shaped: dict[tuple[str, str], dict[str, KernelLink]] = {}
        self._emulator = NetworkEmulator(f"ct{self._tag}", self.links.rng)
        self._diverted: set[KernelLink] = set()

    async def open(self, pids: Pids) -> None:
        if reason := self.why_not():
            raise NetworkError(reason)
        await asyncio.to_thread(self._open)

    async def close(self) -> None:
        self._emulator.close()
        await asyncio.to_thread(self._close)

    def listening(self, node_id: str) -> NodeLayout:
        return NodeLayout(node_id, CLIENT_PORT, PEER_PORT, "0.0.0.0")

    def members(self) -> list[NodeLayout]:
        return [NodeLayout(n, CLIENT_PORT, PEER_PORT, self.address(n)) for n in self.node_ids]

    def client_address(self, node_id: str) -> str:
        return f"{self.address(node_id)}:{CLIENT_PORT}"

    def direct_address(self, node_id: str) -> str:
        return f"{self._subnet}.{138 + self.node_ids.index(node_id)}:{CLIENT_PORT}"

    def command(self, node_id: str, argv: list[str]) -> list[str]:
        return [_tool("ip"), "netns", "exec", self.namespace(node_id), *argv]

    def remover(self) -> list[list[str]]:
        ip = _tool("ip")
        spaces = [[ip, "netns", "del", self.namespace(n)] for n in self.node_ids]
        return [*spaces, [ip, "link", "del", self._bridge]]

    def address(self, name: str) -> str:
        """Of a node, or of all clients."""
        if name == CLIENTS:
            return f"{self._subnet}.1"
        return f"{self._subnet}.{10 + self.node_ids.index(name)}"

    def namespace(self, node_id: str) -> str:
        return f"chaos-{self._tag}-{node_id}"

    def shape(self, link: KernelLink) -> None:
        """Apply the condition of the link, by a queue at its sending end or by emulation."""
        if _holds_packets() == "tap":
            self._divert(link, diverted=_is_held(link.condition))
        if link.source == CLIENTS:
            place, match = ("", self._veth(link.target)), f"src {self.address(CLIENTS)}"
        else:
            place = (self.namespace(link.source), "eth0")
            match = f"dst {self.address(link.target)}"
        shaped = self._shaped.setdefault(place, {})
        if _is_queued(link.condition):
            shaped[match] = link
        else:
            shaped.pop(match, None)
        namespace, device = place
        where = ["-n", namespace] if namespace else []
        _run("tc", *where, "qdisc", "del", "dev", device, "root", fine=True)
        if shaped:
            _run("tc", *where, "-batch", "-", told=_queue(device, shaped))

    def _divert(self, link: KernelLink, *, diverted: bool) -> None:
        """Through the network emulation of `chaos.testbed.netem`, or straight again."""
        if diverted is (link in self._diverted):
            return
        self._open_emulator()
        ends_at = "" if link.target == CLIENTS else self._veth(link.target)
        source, target = self.address(link.source), self.address(link.target)
        if link.source == CLIENTS:
            place, other, match = [ends_at, "egress"], link.target, f"src {source}/32"
        else:
            place, other, match = (
                [self._veth(link.source), "ingress"],
                link.target,
                f"dst {target}/32",
            )
        order = str(1 + [*self.node_ids, CLIENTS].index(other))
        where = ["dev", *place, "pref", order]
        if diverted:
            self._emulator.know(source, target, link, ends_at)
            _run("tc", "filter", "add", *where, *netem.diversion(match, self._emulator.device))
            self._diverted.add(link)
        else:
            _run("tc", "filter", "del", *where)
            self._diverted.discard(link)

    def _open_emulator(self) -> None:
        if self._emulator.is_open:
            return
        self._emulator.open()
        device = ["dev", self._emulator.device]
        _run("ip", "link", "set", *device, "master", self._bridge, "up")
        # Nothing gets there but what is diverted, and nobody is thought to live there.
        quiet = ("learning", "flood", "mcast_flood", "bcast_flood")
        _run("bridge", "link", "set", *device, *(w for one in quiet for w in (one, "off")))
        for node_id in self.node_ids:
            _run("tc", "qdisc", "add", "dev", self._veth(node_id), "clsact")

    def _open(self) -> None:
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        with _one_at_a_time():
            self._subnet = _free_subnet()
            _run("ip", "address", "add", f"{self._subnet}.1/25", "dev", self._bridge)
        _run("ip", "address", "add", f"{self._subnet}.129/25", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        for node_id in self.node_ids:
            self._add_host(node_id)

    def _add_host(self, node_id: str) -> None:
        space, veth = self.namespace(node_id), self._veth(node_id)
        direct = self.direct_address(node_id).partition(":")[0]
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", space)
        # Single packets, so that a slow queue is not blocked by one of 64 KiB.
        _run("ip", "link", "set", veth, "gso_max_size", MAX_PACKET, "master", self._bridge, "up")
        _run("ip", "-n", space, "link", "set", "eth0", "gso_max_size", MAX_PACKET, "up")
        _run("ip", "-n", space, "link", "set", "lo", "up")
        for address in (self.address(node_id), direct):
            _run("ip", "-n", space, "address", "add", f"{address}/25", "dev", "eth0")
        # What arrives for this host is looked up after the rules that cut.
        _run("ip", "-n", space, "rule", "add", "pref", LOCAL_PRIORITY, "lookup", "local")
        _run("ip", "-n", space, "rule", "del", "pref", "0")

    def _close(self) -> None:
        for command in self.remover():
            subprocess.run(command, check=False, capture_output=True)
        self._shaped.clear()
        self._diverted.clear()

    def _veth(self, node_id: str) -> str:
        return f"cv{self._tag}{node_id}"


class KernelLink(Link):
    """A link whose condition the kernel is told."""

    def __init__(self, network: NamespaceNetwork, source: str, target: str) -> None:
        super().__init__(source, target)
        self._network = network

    def set(self, condition: Condition) -> None:
        before, self.condition = self.condition, condition
        if (condition.mode is Mode.DROP) is not (before.mode is Mode.DROP):
            self._cut("add" if condition.mode is Mode.DROP else "del")
        if _shape(condition) != _shape(before):
            self._network.shape(self)
        if condition.mode is Mode.REFUSE:
            raise NetworkError("connections cannot be refused in network namespaces")

    def reset(self) -> None:
        node, other = self.target, self.source
        if node == CLIENTS:
            node, other = other, node
        space, address = self._network.namespace(node), self._network.address(other)
        _run("ip", "netns", "exec", space, "ss", "-K", "state", "established", "dst", address)

    def _cut(self, verb: str) -> None:
        if self.target == CLIENTS:
            space, end, other = self.source, "to", self.target
        else:
            space, end, other = self.target, "from", self.source
        where = ["-n", self._network.namespace(space), "rule", verb, "pref", CUT_PRIORITY]
        _run("ip", *where, end, self._network.address(other), "blackhole")


def _shape(condition: Condition) -> tuple[float, float, int, int]:
    c = condition
    return (c.delay_ms, c.jitter_ms, c.bandwidth, c.loss_permille)


def _is_held(condition: Condition) -> bool:
    """Whether packets are delayed or lost."""
    return any((condition.delay_ms, condition.jitter_ms, condition.loss_permille))


def _is_queued(condition: Condition) -> bool:
    return bool(condition.bandwidth) or (_holds_packets() == "netem" and _is_held(condition))


@functools.cache
def _holds_packets() -> Literal["netem", "tap", ""]:
    """What this machine has to delay and lose packets, tried in a namespace of its own."""
    space = f"chaos-{secrets.token_hex(3)}"
    _run("ip", "netns", "add", space)
    queue = ["tc", "-n", space, "qdisc", "add", "dev", "lo"]
    try:
        if _run(*queue, "root", "netem", "delay", "1ms", fine=True):
            return "netem"
        filters = ["tc", "-n", space, "filter", "add", "dev", "lo", "ingress"]
        if (
            netem.may_open()
            and _run(*queue, "clsact", fine=True)
            and _run(*filters, *netem.diversion("dst 127.0.0.1/32", "lo"), fine=True)
        ):
            return "tap"
    finally:
        _run("ip", "netns", "del", space)
    return ""


def _queue(device: str, shaped: dict[str, KernelLink]) -> str:
    """Lines for `tc -batch`: one class for each link; what is of no class is not held up."""
    lines = [f"qdisc add dev {device} root handle 1: htb"]
    for number, (match, link) in enumerate(sorted(shaped.items()), 1):
        condition = link.condition
        rate = f"{condition.bandwidth * 8}bit" if condition.bandwidth else UNLIMITED
        lines.append(f"class add dev {device} parent 1: classid 1:{number} htb rate {rate}")
        lines.append(
            f"filter add dev {device} parent 1: protocol ip prio {number} "
            f"u32 match ip {match}/32 flowid 1:{number}"
        )
        netem = _netem(condition) if _holds_packets() == "netem" else ""
        if netem:
            lines.append(f"qdisc add dev {device} parent 1:{number} netem{netem}")
    return "\n".join(lines) + "\n"


def _netem(condition: Condition) -> str:
    found = ""
    if condition.delay_ms or condition.jitter_ms:
        half_ms = condition.jitter_ms / 2
        found += f" delay {condition.delay_ms + half_ms:g}ms {half_ms:g}ms"
    if condition.loss_permille:
        found += f" loss {condition.loss_permille / 10:g}%"
    return found


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Runs side by side on this machine must not find the same subnet free. A directory that is
    always there is the lock, so that none is left behind."""
    lock = os.open(RUN_DIRECTORY, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _free_subnet() -> str:
    """The first three numbers of a private network that this machine has not."""
    taken = subprocess.run(
        [_tool("ip"), "-o", "-4", "address"], check=True, capture_output=True, text=True
    ).stdout
    for number in SUBNETS:
        if f" 10.77.{number}." not in taken:
            return f"10.77.{number}"
    raise NetworkError("no subnet of 10.77.0.0/16 is free")


def _tool(name: str) -> str:
    return shutil.which(name) or name


def _run(tool: str, *arguments: str, told: str = "", fine: bool = False) -> bool:
    """Whether it succeeded; NetworkError if it did not, unless that is `fine`."""
    ended = subprocess.run(
        [_tool(tool), *arguments], input=told, capture_output=True, text=True, check=False
    )
    if ended.returncode and not fine:
        words = " ".join([tool, *arguments])
        raise NetworkError(f"{words}: {ended.stderr.strip() or ended.returncode}")
    return ended.returncode == 0
