"""The status of a node's replication: what `Replicator.status` returns."""

from __future__ import annotations

from coord.replication.peers.transport import PeerTransport
from coord.replication.port import PeerProgress, ReplicaStatus, Role
from coord.replication.replica import Replica
from coord.replication.settings import ReplicationConfig


def alarms_of(replica: Replica) -> tuple[str, ...]:
    """What somebody should look at, in words for programs."""
    own = replica.context.write_block_reason
    return (*((own,) if own is not None else ()), *replica.snapshots.alarms)


def status_of(
    replica: Replica, transport: PeerTransport | None, now: float, *, serving: bool
) -> ReplicaStatus:
    """This moment's. `serving`: the node takes part."""
    engine, journal = replica.engine, replica.journal
    return ReplicaStatus(
        node_id=replica.electorate.self_id,
        role=replica.role if serving else Role.FOLLOWER,
        term=engine.term,
        leader_id=engine.leader_id if serving else None,
        commit_index=engine.commit_index,
        applied_index=engine.applied_index,
        last_log_index=journal.last_index,
        synced_index=journal.synced_index,
        first_log_index=journal.first_index,
        snapshot_index=replica.snapshots.latest.index if replica.snapshots.latest else 0,
        write_block_reason=replica.leading.write_block_reason,
        members=replica.electorate.membership.members,
        peers=_progress(replica, transport, now),
        checked_index=replica.state_check.checked_index,
        one_way=transport.one_way if transport is not None else (),
        alarms=alarms_of(replica),
    )


def status_before_start(config: ReplicationConfig) -> ReplicaStatus:
    """Of a node that has not read its data yet."""
    return ReplicaStatus(
        node_id=config.self_id,
        role=Role.FOLLOWER,
        term=0,
        leader_id=None,
        commit_index=0,
        applied_index=0,
        last_log_index=0,
        synced_index=0,
        first_log_index=0,
        snapshot_index=0,
        write_block_reason=None,
        members=config.members,
    )


def _progress(
    replica: Replica, transport: PeerTransport | None, now: float
) -> dict[str, PeerProgress]:
    leading = replica.account.while_leading()
    if leading is None:
        return {}
    progress = {}
    for peer in replica.electorate.peers:
        heard = leading.heard_at.get(peer)
        progress[peer] = PeerProgress(
            connected=transport is not None and transport.connected(peer),
            match_index=replica.engine.match_index(peer),
            last_heard_ms=-1 if heard is None else int((now - heard) * 1000),
        )
    return progress
