"""The cluster itself: who leads, how far everybody is, whether all states agree."""

from __future__ import annotations

import asyncio

from coord.client.core import Core
from coord.client.errors import CoordError
from coord.client.methods import NODE_DIGEST, NODE_STATUS, STATUS, TRANSFER
from coord.client.types import (
    ClusterStatus,
    LeaderTransfer,
    MemberStatus,
    NodeDigest,
    NodeStatus,
)
from coord.rpc.gen import cluster_pb2 as pb

DIGEST_WAIT_MS = 2_000


class Cluster:
    """Look at the nodes, and move leadership."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def status(self, *, timeout_ms: int | None = None) -> ClusterStatus:
        """Asks every member; works without a leader, as long as one node answers."""
        reply = await self._core.read(STATUS, pb.StatusRequest(), timeout_ms)
        return ClusterStatus(
            cluster_id=reply.cluster_id,
            leader=reply.leader,
            term=reply.term,
            revision=reply.revision,
            members=tuple(_member(member) for member in reply.members),
            node_id=reply.node_id,
        )

    async def node_status(self, address: str, *, timeout_ms: int | None = None) -> NodeStatus:
        """What the node at this address knows of itself; one attempt."""
        timeout_s = self._core.deadline(timeout_ms).remaining_s
        connection = self._core.caller.discovery.connection(address)
        reply = await connection.call(NODE_STATUS, pb.NodeStatusRequest(), timeout_s)
        return NodeStatus(
            cluster_id=reply.cluster_id,
            member=_member(reply.member),
            leader=reply.leader,
            revision=reply.revision,
            write_block_reason=reply.write_block_reason,
            cluster_time_ms=reply.cluster_time_ms,
            snapshot_index=reply.snapshot_index,
            log_first_index=reply.log_first_index,
            log_last_index=reply.log_last_index,
        )

    async def digests(self, *, timeout_ms: int | None = None) -> list[NodeDigest]:
        """Each member's digest, once it has applied what was committed when this was called. A
        member that cannot be asked has an `error`."""
        deadline = self._core.deadline(timeout_ms)
        status = await self.status(timeout_ms=timeout_ms)
        index = max((member.commit_index for member in status.members), default=0)
        timeout_s = max(deadline.remaining_s, 0.05)
        digests = [self._digest(member, index, timeout_s) for member in status.members]
        return list(await asyncio.gather(*digests))

    async def transfer_leader(
        self, target: str = "", *, timeout_ms: int | None = None
    ) -> LeaderTransfer:
        """Hand leadership to `target` (a node id; empty = the most caught-up follower)."""
        deadline = self._core.deadline(timeout_ms)
        # A repeat without a target would move leadership once more.
        reply = await self._core.caller.call(
            TRANSFER,
            pb.TransferLeaderRequest(target=target),
            deadline,
            repeatable=bool(target),
            wait_ms=deadline.remaining_ms,
        )
        self._core.caller.discovery.refresh_soon()
        return LeaderTransfer(reply.leader, reply.term)

    async def _digest(self, member: MemberStatus, index: int, timeout_s: float) -> NodeDigest:
        wait_ms = min(DIGEST_WAIT_MS, int(timeout_s * 900))
        request = pb.NodeDigestRequest(min_applied_index=index, wait_ms=wait_ms)
        connection = self._core.caller.discovery.connection(member.address)
        try:
            reply = await connection.call(NODE_DIGEST, request, timeout_s)
        except CoordError as error:
            return NodeDigest(member.id, member.address, 0, 0, "", error)
        return NodeDigest(
            reply.node_id, member.address, reply.applied_index, reply.revision, reply.digest
        )


def _member(member: pb.MemberStatus) -> MemberStatus:
    return MemberStatus(
        id=member.id,
        address=member.address,
        role=member.role,
        term=member.term,
        commit_index=member.commit_index,
        applied_index=member.applied_index,
        reachable=member.reachable,
        version=member.version,
        peer_address=member.peer_address,
        checked_index=member.checked_index,
    )
