"""A simulated node that runs the published SyncObj as it is: its own journal, vote file, dump and
pickling on a simulated disk, its own elections, appends, commit rule and apply. Only time, random
numbers, files and the network are the simulator's. None of the product's mends is here.

Reads go through the log, so that they are as good as the log is. `witnesses` names the defects that
were seen at work (see docs/replication.md), by looking at the engine before and after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pysyncobj.syncobj as library
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from chaos.sim.base_node import DIRECTORY, Entry, NodeWatcher, SimNode
from chaos.sim.clock import SimClock
from chaos.sim.disk import SimulatedCrash
from chaos.sim.plan import SimPlan
from chaos.sim.scheduler import SimOutcome
from chaos.sim.service import THE_PRODUCT, ObservedHost, SimBuild
from chaos.sim.stock_files import CURRENT, WRITE_BACK_S
from coord.codec.envelope import encode_envelope
from coord.core.batch import Applied
from coord.replication.port import NotLeaderError, OutcomeUnknownError

JOURNAL = f"{DIRECTORY}/journal"
DUMP = f"{DIRECTORY}/dump"
DUMP_CHUNK_BYTES = 700


class StockPeer(Node):  # type: ignore[misc]
    """A node's name, with a hash that is the same in every process."""

    def __hash__(self) -> int:
        return int(self.id[1:])


class ReplicatedState:
    """The state machine as the library keeps it: pickled into its dump, restored from there."""

    def __init__(self, host: ObservedHost | None) -> None:
        self.host = host
        self.chunks: list[bytes] = []

    def __getstate__(self) -> dict[str, Any]:
        assert self.host is not None
        source = self.host.begin_snapshot()
        chunks = []
        while (chunk := source.next_chunk()) is not None:
            chunks.append(chunk)
        return {"host": None, "chunks": chunks}


class _StockTransport(Transport):  # type: ignore[misc]
    def __init__(self, node: StockNode) -> None:
        super().__init__(None, None, [])
        self._node = node

    @property
    def ready(self) -> bool:
        return True

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        return self._node.send(node.id, message)

    def destroy(self) -> None:
        """Nothing is held."""


class _NoPoller:
    def poll(self, timeout: float) -> None:
        """There are no sockets."""


class StockEngine(SyncObj):  # type: ignore[misc]
    """The published engine with one replicated method of bytes."""

    def __init__(self, node: StockNode, conf: SyncObjConf) -> None:
        self._node = node
        peers = [StockPeer(peer) for peer in node.peers]
        super().__init__(StockPeer(node.node_id), peers, conf, transport=_StockTransport(node))
        self._poller: Any = _NoPoller()
        self.replicated_state = ReplicatedState(node.host)  # the only attribute that is dumped

    @replicated  # type: ignore[untyped-decorator]
    def apply_entry(self, data: bytes) -> Any:
        return self._node.apply(data)


class StockNode(SimNode):
    """See the module."""

    def __init__(
        self,
        node_id: str,
        plan: SimPlan,
        clock: SimClock,
        watcher: NodeWatcher,
        build: SimBuild = THE_PRODUCT,
    ) -> None:
        super().__init__(node_id, plan, clock, watcher, build)
        self.engine: StockEngine | None = None
        self._nodes = {peer: StockPeer(peer) for peer in self.peers}
        self._elections = Random(f"elections/{plan.seed}/{node_id}")
        self._pending: list[Callable[[Applied | None], None]] = []
        self._was = (False, -1)
        self._told_index = 0  # up to where this node has told a leader that it has the log
        self._voters: set[tuple[int, str]] = set()

    @property
    def host(self) -> ObservedHost:
        assert self.service is not None
        return self.service.host

    # Life

    def _boot(self) -> None:
        self._enter()
        self.disk.mkdir(DIRECTORY)
        self._was = (False, -1)
        self._voters.clear()
        conf = SyncObjConf(
            autoTick=False,
            journalFile=JOURNAL,
            fullDumpFile=DUMP,
            useFork=False,
            appendEntriesBatchSizeBytes=self.plan.batch_bytes,
            logCompactionMinEntries=self.plan.snapshot_entries,
            logCompactionMinTime=1_000_000,
            logCompactionBatchSize=DUMP_CHUNK_BYTES,
        )
        self.engine = engine = StockEngine(self, conf)
        log = engine._SyncObj__raftLog
        if log[-1][1] < self._told_index and self.lost_power:
            self.witnesses.add("B1")
        if engine.raftCommitIndex > log[-1][1]:
            self.witnesses.add("B2")
        self._watch_compaction(log)
        self._load_dump(log)
        self._write_back(self.run)

    def _watch_compaction(self, log: Any) -> None:
        original = log.deleteEntriesTo

        def watched(position: int) -> None:
            try:
                original(position)
            except SimulatedCrash:
                self.witnesses.add("A2")
                raise

        log.deleteEntriesTo = watched

    def _load_dump(self, log: Any) -> None:
        """The library does it at the first tick; here, so that what it does can be seen."""
        if not self.disk.exists(DUMP):
            return
        before = log[-1][1]
        self._up().doTick(0.0)
        if log[-1][1] < before:
            self.witnesses.add("A1")
        if self.applied_index <= 1:
            self.witnesses.add("A4")
        self._adopt()

    def _stop(self) -> None:
        self.engine = None
        self._pending.clear()

    def tick(self) -> None:
        self._enter()
        self._up().doTick(0.0)
        self._look()

    def receive(self, peer_id: str, message: Any) -> None:
        self._enter()
        engine = self._up()
        log = engine._SyncObj__raftLog
        before, commit, applied = log[:], engine.raftCommitIndex, engine.raftLastApplied
        self._judge_reply(peer_id, message)
        engine._SyncObj__onMessageReceived(self._nodes[peer_id], message)
        if message["type"] == "append_entries":
            self._judge_append(message, before, commit, applied)
        self._adopt()
        self._look()

    def connected(self, peer_id: str) -> None:
        if self.alive:
            self._up()._SyncObj__onNodeConnected(self._nodes[peer_id])

    def disconnected(self, peer_id: str) -> None:
        if self.alive:
            self._up()._SyncObj__onNodeDisconnected(self._nodes[peer_id])

    def send(self, peer_id: str, message: dict[str, Any]) -> bool:
        if message["type"] == "next_node_idx" and message["success"]:
            self._told_index = max(self._told_index, message["next_node_idx"] - 1)
        message["sent_in_term"] = self.term  # the library does not look at it; the witness does
        return super().send(peer_id, message)

    def _up(self) -> StockEngine:
        assert self.engine is not None
        return self.engine

    def _enter(self) -> None:
        CURRENT.enter(self.disk, self.clock.now, self._elections.random)

    def _write_back(self, run: int) -> None:
        """The system writes dirty pages back by itself."""
        if self.run == run:
            self.disk.write_back()
            self.later(WRITE_BACK_S, lambda: self._write_back(run))

    def _adopt(self) -> None:
        """A loaded dump brings the state along."""
        loaded = self._up().replicated_state
        if loaded.host is None:
            self.host.restore(loaded.chunks)
            loaded.host = self.host
            loaded.chunks = []

    def _look(self) -> None:
        """Has the role changed?"""
        now = (self.leads(), self.term)
        if now == self._was:
            return
        self._was = now
        self.watcher.node_changed(self)
        assert self.service is not None
        self.service.leadership_changed()

    # What was seen

    def _judge_reply(self, peer_id: str, message: Any) -> None:
        """A vote is counted as often as it comes, and an append reply whatever term it is of."""
        term = self.term
        if message["type"] == "response_vote" and message["term"] == term and not self.leads():
            if (term, peer_id) in self._voters:
                self.witnesses.add("B3")
            self._voters.add((term, peer_id))
        elif message["type"] == "next_node_idx" and self.leads():
            known = self._up()._SyncObj__raftMatchIndex[self._nodes[peer_id]]
            advances = message["success"] and message["next_node_idx"] - 1 > known
            if advances and message["sent_in_term"] < term:
                self.witnesses.add("B3")

    def _judge_append(self, message: Any, before: list[Entry], commit: int, applied: int) -> None:
        engine = self._up()
        after = engine._SyncObj__raftLog
        if "prevLogIdx" not in message:
            piece = message.get("serialized")
            whole = piece is not None and piece[2]
            if engine.raftCommitIndex > commit and not whole:
                self.witnesses.add("A3")
            if whole and engine.raftLastApplied == applied and after[:] == before:
                self.witnesses.add("A4")
            return
        entries = message.get("entries", ())
        last = message["prevLogIdx"] + len(entries)
        lost = after[-1][1] == last < before[-1][1]
        if lost and all(_has(before, entry) for entry in entries):
            self.witnesses.add("A5")

    # For the service

    def leads(self) -> bool:
        return self.engine is not None and bool(self.engine._isLeader())

    def leader_hint(self) -> str | None:
        leader = self.engine._getLeader() if self.engine is not None else None
        return None if leader is None else str(leader.id)

    def apply(self, data: bytes) -> Applied:
        self._adopt()
        engine = self._up()
        index = engine.raftLastApplied + 1
        log = engine._SyncObj__raftLog
        return self.host.apply(index, log[index - log[0][1]][2], data)

    def propose(self, data: bytes) -> SimOutcome:
        self._enter()
        if not self.leads():
            raise NotLeaderError(self.leader_hint())
        outcome = self.scheduler.create_future()

        def done(result: Applied | None) -> None:
            if outcome.done():
                return
            if result is None:
                outcome.set_exception(OutcomeUnknownError("the library says no more"))
            else:
                outcome.set_result(result)

        self._append(data, done)
        return outcome

    def _append(self, data: bytes, done: Callable[[Applied | None], None]) -> None:
        engine = self._up()
        self.stamped(data)

        def called_back(result: Applied | None, error: int) -> None:
            if result is not None and error == 0:
                index = engine.raftLastApplied + 1
                log = engine._SyncObj__raftLog
                self.watcher.node_acknowledges(self, index, log[index - log[0][1]][2])
                done(result)
            else:
                done(None)

        engine.apply_entry(data, callback=called_back)
        engine._checkCommandsToApply()

    def barrier(self, done: Callable[[bool], None]) -> None:
        """An entry of its own."""
        assert self.service is not None
        self._enter()
        if not self.leads():
            done(False)
            return
        data = encode_envelope(self.service.clock.now_ms(), self.wall_ms(), [])
        self._append(data, lambda result: done(result is not None))

    def flush(self) -> None:
        """The library sends when it is time."""

    def require_level(self, level: int) -> None:
        """The library knows no levels."""

    def machine_restored(self) -> None:
        self.watcher.node_restored(self, self.applied_index)

    def machine_froze(self) -> None:
        self.watcher.node_froze(self, self.applied_index)

    def transfer(self) -> None:
        def begin() -> None:
            self._enter()
            self._up().transferLeadership()

        self.guard(begin)

    # For the checks

    @property
    def term(self) -> int:
        return int(self._up().raftCurrentTerm)

    @property
    def commit_index(self) -> int:
        return int(self._up().raftCommitIndex)

    @property
    def applied_index(self) -> int:
        return int(self.engine.raftLastApplied) if self.engine is not None else 0

    def log(self) -> list[Entry]:
        entries: list[Entry] = self._up()._SyncObj__raftLog[:]
        return entries

    def holds(self, index: int, term: int) -> bool:
        """The library takes whatever is in its log for durable."""
        return True

    def stored_vote(self) -> tuple[int, str | None]:
        path = f"{JOURNAL}.meta"
        if self.plan.power:
            data = self.disk.durable(path)
        else:  # a process that dies leaves its writes to the system
            data = self.disk.get(path) if self.disk.exists(path) else None
        if not data:
            return 0, None
        try:
            meta = library.pickle.loads(data)
        except Exception:
            return 0, None
        return meta.get("currentTerm", 0), meta.get("votedForNodeId")

    def rot(self, where: float) -> bool:
        """In the journal, which has no checksums."""
        if not self.disk.exists(JOURNAL):
            return False
        bits = len(self.disk.get(JOURNAL)) * 8
        self.disk.flip_bit(JOURNAL, int(where * 7919 * bits) % bits)
        return True


def _has(log: list[Entry], entry: Any) -> bool:
    position = entry[1] - log[0][1]
    return 0 <= position < len(log) and bool(log[position][2] == entry[2])
