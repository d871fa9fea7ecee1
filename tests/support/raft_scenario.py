"""Carries out the commands of Raft scenario files on real replicas and tells what happened.

    cluster nodes=3             founded nodes, of which nobody leads. Options: `leader=n1` leads in
                                term 1; `fresh`: not founded yet; thrifty=20ms; chunk=40 and
                                batch=1, bytes of a snapshot's pieces and of an append
    add-node n4                 a process that is configured with the members of `cluster`
    wait [n1 ...] 500ms         time passes (for all, if no node is named) and nobody looks
    tick [n1 ...] 500ms         the same, then the nodes look what is due
    campaign n1                 tick n1 when its election timer has run out
    propose n1 x, read n1       what a client asks of a leader
    flush n1                    what a leader does every few ms while it waits for a majority
    transfer-leader n1 [n2], add-member n1 n4, promote n1 n4, remove-member n1 n3
    deliver n1 n2 [count]       what is on its way from n1 to n2; without nodes, everything
    drop n1 n2                  the same is lost
    keep n1 n2 NAME             the first of it is kept back; `replay NAME` delivers it
    repeat n1 n2                what was delivered last comes again
    sync n1 ...                 what the nodes have written becomes durable
    stabilize [n1 ...]          deliver and sync among these nodes until nothing moves
    partition n1 n2 | n3        messages between the sides are lost, which nobody notices
    disconnect n1 n2            the connections break, which both notice
    heal                        everything works again
    stop, start, restart n1     what was not synced is lost; `wipe n1`: so is the disk
                                (`late-clock`: and the wall clock is wrong)
    disk-full n1, disk-free n1, snapshot n1
    status [n1 ...], log [n1 ...]

Commands in one line are joined by ` ; `. `quiet` before them shows nothing of what happens. In
traces `->` is a message that is on its way, `-x` one that is lost; `3/1 x` is the entry at index 3
of term 1; `#2` numbers a leader's appends to one peer; learners have a star. Every node has a clock
of its own, and election timers take the shortest time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from coord.replication.port import AddLearner, MembershipChange, Promote, Remove
from coord.replication.settings import ReplicaSettings
from tests.support.raft_cluster import MAX_MESSAGES, RaftCluster
from tests.support.raft_node import RaftNode
from tests.support.raft_trace import message_text
from tests.support.replication import members_of

SETTINGS = ReplicaSettings(
    thrifty_delay_s=0.0, state_check_s=0.0, keep_entries=0, snapshot_bytes_per_s=1 << 62
)
CAMPAIGN_STEP_MS = 10


class RaftScenario:
    """One scenario."""

    def __init__(self) -> None:
        self._cluster: RaftCluster | None = None

    def run(self, line: str) -> list[str]:
        """Carry out one line and give its trace."""
        commands = line.removeprefix("quiet ")
        for command in commands.split(" ; "):
            verb, *arguments = command.split()
            COMMANDS[verb](self, arguments)
            self.cluster.connect()
        lines = self.cluster.take()
        return ["ok"] if commands != line or not lines else lines

    @property
    def cluster(self) -> RaftCluster:
        assert self._cluster is not None, "a scenario begins with `cluster`"
        return self._cluster

    def _node(self, node_id: str) -> RaftNode:
        return self.cluster.nodes[node_id]

    def _some(self, ids: list[str]) -> list[RaftNode]:
        return [self._node(node_id) for node_id in ids or sorted(self.cluster.nodes)]

    # Life of the nodes

    def make_cluster(self, arguments: list[str]) -> None:
        options = dict(word.split("=") for word in arguments if "=" in word)
        ids = [f"n{number + 1}" for number in range(int(options["nodes"]))]
        settings = replace(
            SETTINGS,
            thrifty_delay_s=_ms(options.get("thrifty", "0ms")) / 1000,
            snapshot_chunk_bytes=int(options.get("chunk", "100000")),
            batch_bytes=int(options.get("batch", "100000")),
        )
        self._cluster = RaftCluster(ids, settings)
        if "fresh" not in arguments:
            self._cluster.found()
        if leader := options.get("leader"):
            self.campaign([leader])
            self.stabilize([])
            self.tick([leader, "100ms"])
            self.stabilize([])
            self._cluster.take()

    def add_node(self, arguments: list[str]) -> None:
        for node_id in arguments:
            self.cluster.add(node_id, self.cluster.founders).start()

    def stop(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            node.stop()

    def start(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            node.start()

    def restart(self, arguments: list[str]) -> None:
        self.stop(arguments)
        self.cluster.connect()
        self.start(arguments)

    def wipe(self, arguments: list[str]) -> None:
        ids = [word for word in arguments if word != "late-clock"]
        for node in self._some(ids):
            assert node.replica is None, "stop it first"
            node.lose_disk()
            if ids != arguments:
                node.first_run = 0

    def disk_full(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            node.disk.free_bytes = 0

    def disk_free(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            node.disk.free_bytes = None

    # Time

    def wait(self, arguments: list[str]) -> None:
        for node in self._some(arguments[:-1]):
            node.time_ms += _ms(arguments[-1])

    def tick(self, arguments: list[str]) -> None:
        self.wait(arguments)
        for node in self._some(arguments[:-1]):
            if node.replica is not None:
                node.do(node.replica.tick)

    def campaign(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            while not node.up().context.election.expired(node.now()):
                node.time_ms += CAMPAIGN_STEP_MS
            node.do(node.up().tick)

    # What clients and operators ask

    def propose(self, arguments: list[str]) -> None:
        node_id, *data = arguments
        self._node(node_id).do(self._node(node_id).propose, " ".join(data).encode())

    def flush(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            node.do(node.up().flush)

    def read(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            node.do(node.read)

    def transfer(self, arguments: list[str]) -> None:
        node_id, target = arguments[0], arguments[1] if len(arguments) > 1 else None
        self._node(node_id).do(self._node(node_id).transfer, target)

    def add_member(self, arguments: list[str]) -> None:
        (member,) = members_of(arguments[1])
        self._change(arguments[0], AddLearner(member))

    def promote(self, arguments: list[str]) -> None:
        self._change(arguments[0], Promote(arguments[1]))

    def remove_member(self, arguments: list[str]) -> None:
        self._change(arguments[0], Remove(arguments[1]))

    def _change(self, node_id: str, change: MembershipChange) -> None:
        node = self._node(node_id)

        def begin() -> None:
            node.up().change_members(change)
            self.cluster.connect()
            node.up().flush()

        node.do(begin)

    def snapshot(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            node.do(node.take_snapshot)

    # Messages and writes

    def deliver(self, arguments: list[str]) -> None:
        links = [_link(arguments[:2])] if arguments else sorted(self.cluster.in_flight)
        count = int(arguments[2]) if len(arguments) > 2 else MAX_MESSAGES
        for link in links:
            self.cluster.deliver(link, count)

    def drop(self, arguments: list[str]) -> None:
        link = _link(arguments)
        for message in self.cluster.in_flight.get(link, ()):
            self.cluster.note(f"{link[0]} -x {link[1]} {message_text(message)}")
        self.cluster.in_flight[link].clear()

    def keep(self, arguments: list[str]) -> None:
        link = _link(arguments[:2])
        message = self.cluster.in_flight[link].popleft()
        self.cluster.kept[arguments[2]] = (link, message)
        self.cluster.note(f"{arguments[2]} is {link[0]} -> {link[1]} {message_text(message)}")

    def replay(self, arguments: list[str]) -> None:
        self.cluster.replay(*self.cluster.kept[arguments[0]])

    def repeat(self, arguments: list[str]) -> None:
        link = _link(arguments)
        self.cluster.replay(link, self.cluster.last[link])

    def sync(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            self.cluster.sync(node.node_id)

    def stabilize(self, arguments: list[str]) -> None:
        self.cluster.stabilize(arguments or sorted(self.cluster.nodes))

    # Links

    def partition(self, arguments: list[str]) -> None:
        bar = arguments.index("|")
        for a in arguments[:bar]:
            for b in arguments[bar + 1 :]:
                for link in ((a, b), (b, a)):
                    self.cluster.blocked.add(link)
                    self.cluster.in_flight.get(link, []).clear()

    def disconnect(self, arguments: list[str]) -> None:
        a, b = arguments
        self.cluster.break_links([(a, b), (b, a)])

    def heal(self, arguments: list[str]) -> None:
        self.cluster.heal()

    # Questions

    def status(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            self.cluster.note(node.status())

    def log(self, arguments: list[str]) -> None:
        for node in self._some(arguments):
            if node.replica is not None:
                self.cluster.note(node.log())


def _ms(text: str) -> int:
    assert text.endswith("ms"), f"{text} is no time: write 100ms"
    return int(text.removesuffix("ms"))


def _link(arguments: list[str]) -> tuple[str, str]:
    sender, peer = arguments
    return sender, peer


COMMANDS: dict[str, Callable[[RaftScenario, list[str]], None]] = {
    "cluster": RaftScenario.make_cluster,
    "add-node": RaftScenario.add_node,
    "stop": RaftScenario.stop,
    "start": RaftScenario.start,
    "restart": RaftScenario.restart,
    "wipe": RaftScenario.wipe,
    "disk-full": RaftScenario.disk_full,
    "disk-free": RaftScenario.disk_free,
    "wait": RaftScenario.wait,
    "tick": RaftScenario.tick,
    "campaign": RaftScenario.campaign,
    "propose": RaftScenario.propose,
    "flush": RaftScenario.flush,
    "read": RaftScenario.read,
    "transfer-leader": RaftScenario.transfer,
    "add-member": RaftScenario.add_member,
    "promote": RaftScenario.promote,
    "remove-member": RaftScenario.remove_member,
    "snapshot": RaftScenario.snapshot,
    "deliver": RaftScenario.deliver,
    "drop": RaftScenario.drop,
    "keep": RaftScenario.keep,
    "replay": RaftScenario.replay,
    "repeat": RaftScenario.repeat,
    "sync": RaftScenario.sync,
    "stabilize": RaftScenario.stabilize,
    "partition": RaftScenario.partition,
    "disconnect": RaftScenario.disconnect,
    "heal": RaftScenario.heal,
    "status": RaftScenario.status,
    "log": RaftScenario.log,
}
