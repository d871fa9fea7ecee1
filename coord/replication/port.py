"""What the rest of a node sees of replication. One implementation drives PySyncObj; another, for
tests and one-node use, keeps the log alone. Nothing here knows what the replicated bytes mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable


class Role(StrEnum):
    """Raft role of a node (Raft section 5.1); a learner receives the log and does not vote."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"
    LEARNER = "learner"


class ReplicationError(Exception):
    """Base of what `propose` and `read_barrier` raise. `definite`: it certainly did not happen."""

    definite: bool = True


class NotLeaderError(ReplicationError):
    """This node does not lead; nothing was proposed. `leader_id` None: no leader is known."""

    def __init__(self, leader_id: str | None) -> None:
        super().__init__(f"not the leader (leader: {leader_id or 'unknown'})")
        self.leader_id = leader_id


class BusyError(ReplicationError):
    """The proposal queue is full; nothing was proposed."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(f"too many proposals in flight; retry after {retry_after_ms} ms")
        self.retry_after_ms = retry_after_ms


class WriteBlock(StrEnum):
    """Why a node takes no writes now."""

    DISK_FULL = "DISK_FULL"
    LEADERSHIP_TRANSFER = "LEADERSHIP_TRANSFER"


class WriteBlockedError(ReplicationError):
    """The node takes no writes now; nothing was proposed. `reason`: a `WriteBlock`, or the word of
    another implementation."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"writes are blocked: {reason}")
        self.reason = reason


class OutcomeUnknownError(ReplicationError):
    """The entry was proposed and its fate is not known: it may commit later, or never."""

    definite = False


class MembershipRefusal(StrEnum):
    """Why a change of the membership is refused. Nothing was proposed."""

    MEMBER_EXISTS = "MEMBER_EXISTS"
    UNKNOWN_MEMBER = "UNKNOWN_MEMBER"
    ALREADY_VOTER = "ALREADY_VOTER"
    ADDRESS_IN_USE = "ADDRESS_IN_USE"
    TOO_MANY_MEMBERS = "TOO_MANY_MEMBERS"
    LAST_VOTER = "LAST_VOTER"
    LEADER_LEAVES = "LEADER_LEAVES"
    CHANGE_IN_PROGRESS = "CHANGE_IN_PROGRESS"
    LEADER_NOT_READY = "LEADER_NOT_READY"
    LEARNER_BEHIND = "LEARNER_BEHIND"
    QUORUM_AT_RISK = "QUORUM_AT_RISK"

    @property
    def retryable(self) -> bool:
        """Whether the same change may be taken a little later."""
        return self in _PASSING


_PASSING = (
    MembershipRefusal.CHANGE_IN_PROGRESS,
    MembershipRefusal.LEADER_NOT_READY,
    MembershipRefusal.LEARNER_BEHIND,
)


class MembershipRefusedError(ReplicationError):
    """A change of the membership is not possible now, or not at all; nothing was proposed."""

    def __init__(self, reason: MembershipRefusal, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class StateMachine(Protocol):
    """What replication drives. Called on the event loop, in log order; none of these may raise for
    anything a client sent (an exception stops the node)."""

    def apply(self, index: int, term: int, data: bytes) -> object:
        """Apply one committed entry; the return value is handed to its proposer."""
        ...

    def begin_snapshot(self) -> SnapshotSource:
        """Freeze a view of the state as it is now; later applies do not change what it yields."""
        ...

    def begin_digest(self) -> DigestSource:
        """Freeze a view of the state as it is now, to be digested."""
        ...

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the whole state by a snapshot's chunks."""
        ...


@runtime_checkable
class LoadsAside(Protocol):
    """A state machine that can build a snapshot's state beside its present one."""

    def load(self, chunks: Iterable[bytes]) -> Callable[[], None]:
        """Build the state, in any thread, without touching the present one. What is returned puts
        it in place: on the event loop, quickly."""
        ...


class SnapshotSource(Protocol):
    """A frozen view of the state, read in slices between which the event loop runs."""

    def next_chunk(self) -> bytes | None:
        """The next chunk (a few MB at most, a few ms of work), or None at the end. An exception
        means that this snapshot cannot be taken; the node goes on."""
        ...

    def close(self) -> None:
        """Give the view up; allowed at any time, more than once."""
        ...


class DigestGivenUpError(Exception):
    """A digest would have taken too much memory: too much changed while it was made."""


class DigestSource(Protocol):
    """A digest in the making, in slices between which the event loop runs: a short text that is
    equal on two nodes exactly if their states are."""

    @property
    def scheme(self) -> str:
        """How it is made (64 characters at most): only digests of one scheme can be compared."""
        ...

    def next_slice(self) -> str | None:
        """Do a few ms of work; the digest (64 characters at most) at the end, None before. Raises
        DigestGivenUpError."""
        ...

    def close(self) -> None:
        """Give the view up; allowed at any time, more than once."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One node of the cluster. Addresses are `host:port`."""

    node_id: str
    peer_address: str
    client_address: str
    learner: bool = False


@dataclass(frozen=True, slots=True)
class AddLearner:
    """Take a node in: it copies the log and does not count."""

    member: Member


@dataclass(frozen=True, slots=True)
class Promote:
    """Let a learner that has caught up vote."""

    node_id: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a member out."""

    node_id: str


MembershipChange = AddLearner | Promote | Remove


@dataclass(frozen=True, slots=True)
class PeerProgress:
    """A leader's view of one follower."""

    connected: bool
    match_index: int
    last_heard_ms: int  # since the last reply; -1 = never


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """A moment's view of this node. Indexes are log positions; synced_index <= last_log_index."""

    node_id: str
    role: Role
    term: int
    leader_id: str | None
    commit_index: int
    applied_index: int
    last_log_index: int
    synced_index: int
    first_log_index: int
    snapshot_index: int
    write_block_reason: str | None
    members: tuple[Member, ...]
    peers: Mapping[str, PeerProgress] = field(default_factory=dict)
    checked_index: int = 0  # the last at which a majority was seen to have this node's state
    alarms: tuple[str, ...] = ()  # what somebody should look at: SNAPSHOT_FAILED, ...
    one_way: tuple[str, ...] = ()  # peers that reach this node, but are not reached by it


class Replicator(Protocol):
    """The replicated log. All methods are called on the node's event loop."""

    async def start(self) -> None:
        """Recover from disk, apply what is known to be committed, begin to take part.

        Raises StorageDamagedError or ConfigError with what to do; nothing runs afterwards."""
        ...

    async def stop(self) -> None:
        """Stop taking part; pending proposals end with OutcomeUnknownError. Idempotent."""
        ...

    def propose(self, data: bytes) -> asyncio.Future[object]:
        """Append one entry; the future ends with what `StateMachine.apply` returned for it here.

        Raises (at once) NotLeaderError, BusyError, WriteBlockedError; the future may end with
        OutcomeUnknownError."""
        ...

    @property
    def write_block_reason(self) -> str | None:
        """Why no write can be kept now (a full disk); `propose` would refuse one."""
        ...

    @property
    def growth_block_reason(self) -> str | None:
        """Why nothing should be proposed now that makes the state larger (the log is too large);
        `propose` itself takes it, as it does not know what an entry means."""
        ...

    async def read_barrier(self) -> int:
        """Leader only: confirm leadership with a majority after the call (Raft section 6.4,
        ReadIndex) and wait until all that was committed before is applied here. Returns the applied
        index. Many callers share one round; no log entry is written. Raises NotLeaderError, and
        WriteBlockedError if this leader can not confirm any read before a disk has room."""
        ...

    async def wait_applied(self, index: int) -> None:
        """Return once `applied_index >= index`."""
        ...

    def age_ms(self) -> int | None:
        """How old the applied state can be: everything that was acknowledged to anybody more than
        so long ago is in it. None: nothing is known. Asks nobody, needs no leader, and counts the
        time in which this node was stopped or cut off."""
        ...

    async def transfer_leadership(self, target: str | None = None) -> str:
        """Stop taking writes, bring the target up to date, make it lead, confirm; returns its id.

        Raises NotLeaderError, or ReplicationError when it did not take over in time (this node then
        takes writes again)."""
        ...

    async def change_members(self, change: MembershipChange) -> tuple[Member, ...]:
        """Leader only: make one change of the membership (Raft dissertation section 4.1) and
        return the members once it is committed.

        Raises NotLeaderError, WriteBlockedError, MembershipRefusedError (nothing was proposed) or
        OutcomeUnknownError."""
        ...

    @property
    def member_levels(self) -> dict[str, int | None]:
        """The highest feature level that the build of each present member supports, this node
        included, as it advertised when it last connected in this run of this node; None: nothing
        was heard of it yet."""
        ...

    def require_level(self, level: int) -> None:
        """This feature level is in force from now on: builds that support less are refused. To be
        called when the state machine has reached it, also at the start; a level that is in force
        already changes nothing. Stops the node if its own build does not support the level."""
        ...

    def status(self) -> ReplicaStatus: ...

    def on_role_change(self, callback: Callable[[ReplicaStatus], None]) -> None:
        """Call back (on the event loop) after each change of role, term, leader or members."""
        ...

    def on_fatal(self, callback: Callable[[BaseException], None]) -> None:
        """Call back once if the replica had to stop itself (fsync failed, damage, divergence)."""
        ...
