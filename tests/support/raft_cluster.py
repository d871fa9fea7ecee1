"""The nodes of a Raft scenario and the links between them. Nothing moves unless it is told to."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from coord.replication.messages import Message
from coord.replication.port import Member
from coord.replication.settings import ReplicaSettings
from tests.support.raft_node import RaftNode
from tests.support.raft_trace import message_text
from tests.support.replication import members_of

MAX_ROUNDS = 200
MAX_MESSAGES = 1_000
Link = tuple[str, str]


class RaftCluster:
    """`lines`: what happened since it was last asked for. `blocked`: links that swallow what they
    get, which nobody notices; `cut`: links that do not exist."""

    def __init__(self, ids: Collection[str], settings: ReplicaSettings) -> None:
        self.settings = settings
        self.founders = members_of(*sorted(ids))
        self.lines: list[str] = []
        self.nodes: dict[str, RaftNode] = {}
        self.in_flight: dict[Link, deque[Message]] = {}
        self.blocked: set[Link] = set()
        self.cut: set[Link] = set()
        self.last: dict[Link, Message] = {}  # what was delivered last
        self.kept: dict[str, tuple[Link, Message]] = {}
        self._told: set[tuple[object, ...]] = set()
        for node_id in sorted(ids):
            self.add(node_id, self.founders)
        for node in self.nodes.values():
            node.start()
        self.connect()

    def add(self, node_id: str, members: tuple[Member, ...]) -> RaftNode:
        """A node that is not started yet."""
        node = self.nodes[node_id] = RaftNode(node_id, members, self.settings, self)
        return node

    def found(self) -> None:
        """Let new nodes found their cluster; nothing of it is shown."""
        self.stabilize(self.nodes)
        assert all(node.up().admission.votes for node in self.nodes.values())
        self.take()

    def take(self) -> list[str]:
        """What happened."""
        lines, self.lines = self.lines, []
        return lines

    def note(self, line: str) -> None:
        self.lines.append(line)

    # Links

    def carry(self, sender: str, peer: str, message: Message) -> bool:
        link = (sender, peer)
        if link not in self.in_flight:
            return False
        arrow = "-x" if link in self.blocked else "->"
        self.note(f"{sender} {arrow} {peer} {message_text(message)}")
        if link not in self.blocked:
            self.in_flight[link].append(dict(message))
        return True

    def connect(self) -> None:
        """Open and close connections as the nodes want them."""
        for a, b in self._pairs():
            wanted = (a, b) not in self.cut and self._talk(a, b)
            if wanted and (a, b) not in self.in_flight:
                self._open(a, b)
            elif not wanted and (a, b) in self.in_flight:
                self._close(a, b)
            if self.nodes[a].replica is not None and (a, b) not in self.cut:
                self._refuse(a, b)

    def _pairs(self) -> list[Link]:
        return [(a, b) for a in sorted(self.nodes) for b in sorted(self.nodes) if a != b]

    def _talk(self, a: str, b: str) -> bool:
        one, other = self.nodes[a], self.nodes[b]
        both_up = one.replica is not None and other.replica is not None
        return both_up and b in one.peers and a in other.peers

    def _open(self, a: str, b: str) -> None:
        self.in_flight[a, b] = deque()
        self.nodes[a].do(self.nodes[a].up().connected, b)

    def _close(self, a: str, b: str) -> None:
        del self.in_flight[a, b]
        if self.nodes[a].replica is not None:
            self.nodes[a].do(self.nodes[a].up().disconnected, b)

    def _refuse(self, a: str, b: str) -> None:
        """A node that dials one that does not know it is told who the members are, once each."""
        other = self.nodes[b]
        if other.replica is None or b not in self.nodes[a].peers or a in other.peers:
            return
        farewell = other.up().reconfiguration.farewell()
        told = (a, b, str(farewell))
        if farewell is not None and told not in self._told:
            self._told.add(told)
            self.note(f"{b} refuses the connection of {a}")
            self.nodes[a].do(self.nodes[a].up().refused, b, farewell)

    def break_links(self, links: Collection[Link]) -> None:
        """Both ends notice."""
        self.cut.update(links)
        self.connect()

    def heal(self) -> None:
        """Everything works again. Connections that swallowed messages are broken by then."""
        broken, self.blocked = self.blocked, set()
        was_cut, self.cut = self.cut, set()
        self.cut = broken - was_cut
        self.connect()
        self.cut = set()
        self.connect()

    # Moving things

    def deliver(self, link: Link, count: int = MAX_MESSAGES) -> bool:
        """So many messages of those on that link now; whether there were any."""
        waiting = self.in_flight.get(link, deque())
        count = min(count, len(waiting))
        for _ in range(count):
            if self.in_flight.get(link) is waiting and waiting:
                self._arrive(link, waiting.popleft())
        return count > 0

    def _arrive(self, link: Link, message: Message) -> None:
        self.last[link] = dict(message)
        sender, peer = link
        node = self.nodes[peer]
        if node.replica is not None:
            node.do(node.replica.receive, sender, dict(message))
            self.connect()

    def replay(self, link: Link, message: Message) -> None:
        """Deliver a message that was delivered, or kept back, before."""
        self._arrive(link, message)

    def sync(self, node_id: str) -> None:
        self.nodes[node_id].sync()
        self.connect()

    def stabilize(self, ids: Collection[str]) -> None:
        """Deliver and sync among these nodes until nothing moves. Time stands still."""
        for _ in range(MAX_ROUNDS):
            links = [link for link in sorted(self.in_flight) if set(link) <= set(ids)]
            delivered = [link for link in links if self.deliver(link)]
            dirty = [i for i in sorted(ids) if not delivered and self.nodes[i].is_dirty]
            for node_id in dirty:
                self.sync(node_id)
            if not delivered and not dirty:
                return
        raise AssertionError("it never comes to rest")
