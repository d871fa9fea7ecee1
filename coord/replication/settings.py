"""Times and sizes of replication; the defaults are for machines in one site."""

from __future__ import annotations

from dataclasses import dataclass, field

from coord.replication.election import ElectionTimes
from coord.replication.port import Member

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """Times in seconds, sizes in bytes.

    heartbeat_s < election.min_s / 3. `keep_entries`: how many entries behind a snapshot stay in
    the log, so that a node that was away shortly needs no snapshot."""

    heartbeat_s: float = 0.1
    thrifty_delay_s: float = 0.02  # for followers that are not needed for a majority; 0: none
    election: ElectionTimes = field(default_factory=ElectionTimes)
    batch_bytes: int = MEBIBYTE
    max_entry_bytes: int = 8 * MEBIBYTE
    max_in_flight_bytes: int = 8 * MEBIBYTE  # per follower
    max_unsynced_bytes: int = 16 * MEBIBYTE  # of a follower's log; then it takes no more entries
    max_pending_entries: int = 4_096  # proposed and not yet applied
    max_pending_bytes: int = 64 * MEBIBYTE
    busy_retry_after_ms: int = 50
    transfer_s: float = 3.0
    snapshot_entries: int = 100_000
    snapshot_bytes: int = 256 * MEBIBYTE
    max_log_bytes: int = 1024 * MEBIBYTE  # then nothing is taken that makes the state larger
    keep_entries: int = 10_000
    snapshot_chunk_bytes: int = 512 * 1024
    snapshot_resend_s: float = 1.0
    snapshot_bytes_per_s: int = 64 * MEBIBYTE  # sent to one follower
    state_check_s: float = 10.0  # between comparisons of the members' states; 0: none
    highest_level: int = 0  # the highest feature level that this build supports


@dataclass(frozen=True, slots=True)
class ReplicationConfig:
    """One node's part in a cluster. `members` is who takes part at first, this node included;
    `listen_address` defaults to this node's peer address."""

    self_id: str
    cluster_id: str
    members: tuple[Member, ...]
    data_dir: str
    listen_address: str = ""
    tick_s: float = 0.05
    segment_bytes: int = 64 * MEBIBYTE
    reserve_bytes: int = 256 * 1024
    replica: ReplicaSettings = field(default_factory=ReplicaSettings)

    def __post_init__(self) -> None:
        ids = [member.node_id for member in self.members]
        if self.self_id not in ids:
            raise ValueError(f"node {self.self_id!r} is not among the members {ids}")
        if any(member.learner for member in self.members):
            raise ValueError("a cluster does not begin with learners: all members have to vote")
        if len(set(ids)) != len(ids):
            raise ValueError(f"two members share an id: {sorted(ids)}")

    @property
    def own(self) -> Member:
        """This node's entry in `members`."""
        return next(member for member in self.members if member.node_id == self.self_id)
