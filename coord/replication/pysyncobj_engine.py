"""PySyncObj, driven from outside: the only module that imports it.

Theory of operation. Elections, the log, commitment and apply are the library's, as published. What
surrounds them is replaced at its seams: the journal, the clock, the transport, snapshots, election
timing and flow control come from here, and nothing of the library's own threads, sockets, files,
pickling or forwarding is ever reached. The engine does no I/O: it is told the time and what has
become durable, and calls the ports of its owner.

Every private name that is used is listed below; `check_engine` refuses any library
but the one this was proved against.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pysyncobj.syncobj as library
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.config import SERIALIZER_STATE
from pysyncobj.node import Node
from pysyncobj.transport import Transport
from pysyncobj.version import VERSION

from coord.replication.engine_journal import EngineJournal
from coord.replication.entry_kinds import MEMBERS, NO_OP, REGULAR
from coord.replication.errors import ApplyFailedError, EngineVersionError
from coord.replication.membership import Electorate
from coord.replication.port import Role
from coord.replication.storage.writes import Entry

PROVED_VERSION = "0.3.17"
# Applied before the owner gets control again: an entry can hold thousands of requests.
APPLY_SLICE_ENTRIES = 256
APPLY_SLICE_BYTES = 32 * 1024

_METHODS = (
    "__applyLogEntries",
    "__doApplyCommand",
    "__generateRaftTimeout",
    "__getEntries",
    "__onMessageReceived",
    "__onNodeConnected",
    "__onNodeDisconnected",
    "__parseChangeClusterRequest",
    "__sendAppendEntries",
    "__setCurrentTerm",
    "__setState",
    "__tryLogCompaction",
    "_applyCommand",
    "_checkCommandsToApply",
    "_isLeader",
    "_onTick",
)
_FIELDS = (
    "__commandsWaitingCommit",
    "__connectedNodes",
    "__lastResponseTime",
    "__newAppendEntriesTime",
    "__noopIDx",
    "__otherNodes",
    "__raftCommitIndex",
    "__raftCurrentTerm",
    "__raftElectionDeadline",
    "__raftLastApplied",
    "__raftLeader",
    "__raftMatchIndex",
    "__raftNextIndex",
    "__raftState",
    "__readonlyNodes",
    "__serializer",
)
_MODULE_NAMES = ("createJournal", "monotonicTime")


class EnginePort(Protocol):
    """What the engine asks of its owner."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def engine_send(self, peer_id: str, message: dict[str, Any]) -> bool:
        """Send a message of the engine; False: it was not taken, and no more to this peer now."""
        ...

    def engine_apply(self, index: int, term: int, data: bytes) -> None:
        """Apply a committed command."""
        ...

    def engine_members(self, index: int) -> None:
        """The membership entry at `index` is committed, and all before it is applied."""
        ...

    def may_send_to(self, peer_id: str) -> bool:
        """Whether there is room in flight for more entries to this peer."""
        ...

    def needs_snapshot(self, peer_id: str) -> None:
        """The entries this peer lacks are not in the log any more."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Times in seconds, sizes in bytes."""

    heartbeat_s: float = 0.1
    leader_fallback_s: float = 1.0
    batch_bytes: int = 256 * 1024


_guard = threading.Lock()
_STATE_ROLES = {0: Role.FOLLOWER, 1: Role.CANDIDATE, 2: Role.LEADER}


def check_engine() -> None:
    """Raises EngineVersionError unless the library is the proved one with all names in place."""
    if VERSION != PROVED_VERSION:
        raise EngineVersionError(
            f"PySyncObj {VERSION} is installed, this program was proved against {PROVED_VERSION} "
            f"only; install it with: pip install pysyncobj=={PROVED_VERSION}"
        )
    missing = [name for name in _METHODS if not hasattr(SyncObj, _mangled(name))]
    missing += [name for name in _MODULE_NAMES if not hasattr(library, name)]
    if missing:
        raise EngineVersionError(f"this PySyncObj {VERSION} lacks {', '.join(sorted(missing))}")


def _mangled(name: str) -> str:
    return f"_SyncObj{name}" if name.startswith("__") else name


def _install_journal_seam() -> None:
    """Let a journal object given as `conf.journalFile` be used as it is."""
    with _guard:
        original = library.createJournal
        if getattr(original, "passes_objects", False):
            return

        def create_journal(journal: Any = None) -> Any:
            return journal if isinstance(journal, EngineJournal) else original(journal)

        create_journal.passes_objects = True  # type: ignore[attr-defined]
        library.createJournal = create_journal


class _NullPoller:
    def poll(self, timeout: float) -> None:
        """There are no sockets of the library's."""


class _SnapshotSeam:
    """Stands where the library's serializer was: it never serialises, and only tells the owner
    which peers need a snapshot."""

    def __init__(self, needs_snapshot: Callable[[str], None]) -> None:
        self._needs_snapshot = needs_snapshot

    def checkSerializing(self) -> tuple[int, None]:  # noqa: N802
        return SERIALIZER_STATE.NOT_SERIALIZING, None

    def getTransmissionData(self, node: Node) -> None:  # noqa: N802
        self._needs_snapshot(node.id)

    def cancelTransmisstion(self, node: Node) -> None:  # noqa: N802
        """Transfers are ended elsewhere."""


class _PeerNode(Node):  # type: ignore[misc]
    """There is one of each id, so that it is its own key: the library compares and hashes nodes all
    the time."""

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


class _SortedNodes(frozenset):  # type: ignore[type-arg]
    """A set of nodes that is walked in the order of their ids, whatever the hash seed."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._in_order = sorted(super().__iter__(), key=lambda node: node.id)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._in_order)

    def __or__(self, other: Collection[Node]) -> _SortedNodes:
        return _SortedNodes(set.union(set(self), other)) if other else self


class _EngineTransport(Transport):  # type: ignore[misc]
    """Hands the engine's messages to the owner."""

    def __init__(self, send: Callable[[Node, dict[str, Any]], bool]) -> None:
        super().__init__(None, None, [])
        self._send = send

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        return self._send(node, message)

    def destroy(self) -> None:
        """Nothing is held."""


class HardenedEngine(SyncObj):  # type: ignore[misc]
    """One Raft node's engine: synchronous, no I/O. An exception out of any method is fatal."""

    def __init__(
        self,
        electorate: Electorate,
        journal: EngineJournal,
        port: EnginePort,
        settings: EngineSettings,
    ) -> None:
        """`electorate`: as of now; later ones are told by `set_others`."""
        check_engine()
        _install_journal_seam()
        self._port = port
        self._journal = journal
        self._settings = settings
        self._commit_floor = journal.getRaftCommitIndex()
        self._nodes: dict[str, Node] = {}
        self._unsent: dict[Node, int] = {}
        self._proposing = False
        self._led = False  # when this tick began
        self._only: Collection[str] | None = None
        conf = SyncObjConf(
            autoTick=False,
            journalFile=journal,
            dynamicMembershipChange=False,
            appendEntriesUseBatch=True,
            appendEntriesPeriod=settings.heartbeat_s,
            raftMinTimeout=settings.heartbeat_s * 4,  # not used: elections are timed outside
            raftMaxTimeout=settings.heartbeat_s * 8,
            connectionTimeout=max(10.0, settings.heartbeat_s * 8),
            leaderFallbackTimeout=settings.leader_fallback_s,
            appendEntriesBatchSizeBytes=1 << 60,  # so that the library never cuts an entry
            useFork=False,
            fullDumpFile=None,
        )
        self._enter()
        others = [self._node(peer_id) for peer_id in electorate.voting_peers]
        super().__init__(
            self._node(electorate.self_id), others, conf, transport=_EngineTransport(self._take)
        )
        lacking = [name for name in _FIELDS if _mangled(name) not in self.__dict__]
        if lacking:
            raise EngineVersionError(f"this PySyncObj {VERSION} lacks fields {', '.join(lacking)}")
        self._SyncObj__otherNodes: Any = _SortedNodes(others)
        self._SyncObj__readonlyNodes: Any = _SortedNodes(map(self._node, electorate.learners))
        self._SyncObj__serializer: Any = _SnapshotSeam(port.needs_snapshot)
        self._poller: Any = _NullPoller()
        self._SyncObj__raftLastApplied: int = max(1, self._commit_floor)
        self._SyncObj__raftElectionDeadline: float = math.inf

    _SyncObj__newAppendEntriesTime: float
    _SyncObj__raftCommitIndex: int
    _SyncObj__connectedNodes: set[Node]

    # What the owner calls

    def tick(self) -> None:
        """Commit, apply and send what is due. Never starts an election."""
        self._enter()
        self._led = self._isLeader()
        self._onTick(0.0)

    def commit(self) -> None:
        """Commit and apply what a majority has, if that is more than before (leader only)."""
        if self._agreed_index() > self._SyncObj__raftCommitIndex:
            self.tick()

    def apply_committed(self) -> None:
        """Apply a slice of what is committed and not applied yet."""
        self._enter()
        self._SyncObj__applyLogEntries()

    def start_election(self) -> None:
        """Become candidate in the next term and ask for votes."""
        self._SyncObj__raftElectionDeadline = -math.inf
        self.tick()
        self._SyncObj__raftElectionDeadline = math.inf

    def receive(self, peer_id: str, message: dict[str, Any]) -> None:
        """Take a message that has passed the filter."""
        self._enter()
        self._journal.committed_index = self._SyncObj__raftCommitIndex
        self._SyncObj__onMessageReceived(self._node(peer_id), message)

    def set_others(self, voters: Sequence[str], learners: Sequence[str]) -> None:
        """From now on these others vote (and are counted), and these are only sent the log. The
        library's name for learners is readonly nodes."""
        others = _SortedNodes(map(self._node, voters))
        readonly = _SortedNodes(map(self._node, learners))
        present = self._SyncObj__otherNodes | self._SyncObj__readonlyNodes
        self._SyncObj__otherNodes = others
        self._SyncObj__readonlyNodes = readonly
        for node in present:
            if node not in others and node not in readonly:
                self._SyncObj__raftNextIndex.pop(node, None)
                self._SyncObj__raftMatchIndex.pop(node, None)
                self._SyncObj__lastResponseTime.pop(node, None)
                self._unsent.pop(node, None)
        for node in others | readonly:
            if node not in present and self._isLeader():
                self._SyncObj__raftNextIndex[node] = self._journal.last_index + 1
                self._SyncObj__raftMatchIndex[node] = 0
                self._SyncObj__lastResponseTime[node] = self._port.now()

    def receive_ack(self, peer_id: str, next_index: int, success: bool, reset: bool) -> None:
        """Take an append reply. A success never makes what is in flight be sent again."""
        node = self._node(peer_id)
        before = self._SyncObj__raftNextIndex.get(node, 0)
        reply = {
            "type": "next_node_idx",
            "next_node_idx": next_index,
            "success": success,
            "reset": reset,
        }
        self.receive(peer_id, reply)
        if success and not reset and self._isLeader():
            after = self._SyncObj__raftNextIndex[node]
            self._SyncObj__raftNextIndex[node] = max(before, after)

    def propose(self, data: bytes, kind: bytes = REGULAR) -> tuple[int, int]:
        """Append a command to the log; (index, term). Only when leader. Sends nothing yet."""
        self._enter()
        self._proposing = True
        self._applyCommand(data, None, kind[0])
        self._checkCommandsToApply()
        self._proposing = False
        return self._journal.last_index, self._journal.last_term

    def send_now(self, peer_ids: Collection[str] | None = None) -> None:
        """Send these peers (None: all) what they lack, or a heartbeat; the next heartbeat of all
        is not put off by a round to some."""
        if not self._isLeader():
            return
        self._enter()
        due = self._SyncObj__newAppendEntriesTime
        self._only = peer_ids
        try:
            self._SyncObj__sendAppendEntries()
        finally:
            self._only = None
        if peer_ids is not None:
            self._SyncObj__newAppendEntriesTime = due

    def note_alive(self, peer_id: str) -> None:
        """The peer follows this leader (for check-quorum)."""
        self._SyncObj__lastResponseTime[self._node(peer_id)] = self._port.now()

    def connected(self, peer_id: str) -> None:
        self._SyncObj__onNodeConnected(self._node(peer_id))

    def disconnected(self, peer_id: str) -> None:
        self._SyncObj__onNodeDisconnected(self._node(peer_id))

    def observe_term(self, term: int) -> None:
        """A later term exists: follow it, without a leader so far (Raft section 5.1)."""
        if term > self.term:
            self._enter()
            self._SyncObj__setCurrentTerm(term, None)
            self._SyncObj__setState(0)
            self._SyncObj__raftLeader: Node | None = None

    def vote_for_leader(self) -> None:
        """Give this term's vote to the leader that is followed, so that nobody else gets it."""
        self._enter()
        self._SyncObj__setCurrentTerm(self.term, self.leader_id)

    def forget_leader(self) -> None:
        """The known leader is gone."""
        if not self._isLeader():
            self._SyncObj__raftLeader = None

    def snapshot_installed(self, index: int) -> None:
        """The state machine is now at `index`, and the log begins no later than there."""
        self._SyncObj__raftLastApplied = index
        self._SyncObj__raftCommitIndex = max(self._SyncObj__raftCommitIndex, index)
        self._commit_floor = self._SyncObj__raftCommitIndex
        self._SyncObj__commandsWaitingCommit.clear()

    # What the owner reads

    @property
    def standing(self) -> tuple[int, int, Node | None]:
        """What `role`, `term` and `leader_id` come from: equal while none of them changes."""
        return self._SyncObj__raftState, self._SyncObj__raftCurrentTerm, self._SyncObj__raftLeader

    @property
    def role(self) -> Role:
        return _STATE_ROLES[self._SyncObj__raftState]

    @property
    def term(self) -> int:
        term: int = self._SyncObj__raftCurrentTerm
        return term

    @property
    def leader_id(self) -> str | None:
        leader = self._SyncObj__raftLeader
        return None if leader is None else str(leader.id)

    @property
    def commit_index(self) -> int:
        index: int = self._SyncObj__raftCommitIndex
        return index

    @property
    def applied_index(self) -> int:
        index: int = self._SyncObj__raftLastApplied
        return index

    @property
    def own_term_index(self) -> int:
        """Index of the entry with which this leader opened its term (leader only)."""
        return int(self._SyncObj__noopIDx or 0)

    def match_index(self, peer_id: str) -> int:
        """Up to where this peer is known to agree, durably (leader only)."""
        return int(self._SyncObj__raftMatchIndex.get(self._node(peer_id), 0))

    def forget_match(self, peer_id: str) -> None:
        """Nothing is known any more of what this peer has (leader only)."""
        self._SyncObj__raftMatchIndex[self._node(peer_id)] = 0

    def next_index(self, peer_id: str) -> int:
        """The next entry to send to this peer (leader only)."""
        return int(self._SyncObj__raftNextIndex.get(self._node(peer_id), 0))

    # The seams

    def _node(self, peer_id: str) -> Node:
        """The library's object for a peer: one for each id, member or not."""
        node = self._nodes.get(peer_id)
        if node is None:
            node = self._nodes[peer_id] = _PeerNode(peer_id)
        return node

    def _agreed_index(self) -> int:
        """Up to where this leader, durably, and enough others have the log for a majority."""
        matching = self._SyncObj__raftMatchIndex
        reached = sorted(matching.get(node, 0) for node in self._SyncObj__otherNodes)
        needed = (len(reached) + 1) // 2
        others = reached[-needed] if needed else self._journal.last_index
        return int(min(others, self._journal.synced_index))

    def _checkCommandsToApply(self) -> None:  # noqa: N802
        """The library looks into its queue at every tick: there is nothing but what `propose` puts
        there and takes out at once."""
        if self._proposing:
            super()._checkCommandsToApply()

    def _enter(self) -> None:
        """Several engines can live in one process: the library's clock is this one's now."""
        library.monotonicTime = self._port.now

    def _take(self, node: Node, message: dict[str, Any]) -> bool:
        """An outgoing message. If it is not taken, the library stops sending to that node (it is
        out of `connectedNodes` until the round is over) and resumes where this one began."""
        taken = self._port.engine_send(node.id, message)
        if "serialized" in message:
            self._SyncObj__connectedNodes.discard(node)
        elif message["type"] == "append_entries" and message["entries"]:
            if not taken:
                self._unsent[node] = message["entries"][0][1]
            if not taken or not self._port.may_send_to(node.id):
                self._SyncObj__connectedNodes.discard(node)
        return taken

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        """The library's round of appends, to those peers that have room in flight."""
        connected = self._SyncObj__connectedNodes
        self._SyncObj__connectedNodes = {
            node
            for node in connected
            if (self._only is None or node.id in self._only) and self._port.may_send_to(node.id)
        }
        try:
            super()._SyncObj__sendAppendEntries()
        finally:
            self._SyncObj__connectedNodes = connected
        for node, index in self._unsent.items():
            self._SyncObj__raftNextIndex[node] = index
        self._unsent.clear()

    def _SyncObj__getEntries(  # noqa: N802
        self,
        fromIDx: int | None,  # noqa: N803
        count: int | None = None,
        maxSizeBytes: int | None = None,  # noqa: N803
    ) -> list[Entry]:
        if maxSizeBytes is not None and fromIDx is not None:
            return self._journal.batch_from(fromIDx, self._settings.batch_bytes)
        entries: list[Entry] = super()._SyncObj__getEntries(fromIDx, count, None)
        return entries

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802
        """Apply what is committed, a slice at a time. A leader counts itself only up to what it
        has synced: the commit index it computed is held back to there, also if it gave up leading
        after that, in the same tick."""
        led, self._led = self._led, False
        if led or self._isLeader():
            durable = min(self._SyncObj__raftCommitIndex, self._journal.synced_index)
            self._SyncObj__raftCommitIndex = max(self._commit_floor, durable)
        self._commit_floor = commit_index = self._SyncObj__raftCommitIndex
        self._SyncObj__raftCommitIndex = self._end_of_slice(commit_index)
        try:
            return bool(super()._SyncObj__applyLogEntries())
        finally:
            self._SyncObj__raftCommitIndex = commit_index

    def _end_of_slice(self, commit_index: int) -> int:
        """Up to where entries are applied now: one at least, then as many as take a few ms."""
        applied = self.applied_index
        if commit_index <= applied:
            return commit_index
        fitting = len(self._journal.batch_from(applied + 1, APPLY_SLICE_BYTES))
        return min(commit_index, applied + min(max(fitting, 1), APPLY_SLICE_ENTRIES))

    def _SyncObj__doApplyCommand(self, command: bytes) -> None:  # noqa: N802
        index = self.applied_index + 1
        kind = command[:1]
        if kind == REGULAR:
            term = self._journal.term_at(index)
            self._port.engine_apply(index, term or 0, command[1:])
        elif kind == MEMBERS:
            self._port.engine_members(index)
        elif kind != NO_OP:
            raise ApplyFailedError(f"entry {index} is of unknown kind {kind!r}")

    def _SyncObj__parseChangeClusterRequest(self, command: bytes) -> None:  # noqa: N802
        """The library's own membership changes are not used."""

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802
        """Compaction is decided outside."""

    def _SyncObj__generateRaftTimeout(self) -> float:  # noqa: N802
        """Elections are timed outside."""
        return math.inf
