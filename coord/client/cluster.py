"""The cluster itself: who leads, how far everybody is, whether all states agree."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from coord.client.context import ClientContext
from coord.client.transport.errors import CoordError, FailedPreconditionError
from coord.client.transport.methods import (
    ADD_MEMBER,
    GET_LEVEL,
    GET_QUOTA,
    LIST_MEMBERS,
    NODE_DIGEST,
    NODE_STATUS,
    PROMOTE_MEMBER,
    RAISE_LEVEL,
    REMOVE_MEMBER,
    SET_QUOTA,
    STATUS,
    TRANSFER,
)
from coord.client.transport.retry import Deadline
from coord.client.types import (
    ClusterStatus,
    FeatureLevel,
    LeaderTransfer,
    Member,
    MemberStatus,
    NodeDigest,
    NodeStatus,
    Quota,
)
from coord.pb import cluster_pb2 as pb

DIGEST_WAIT_MS = 2_000
TRY_AGAIN_S = 0.1


class Cluster:
    """Look at the nodes, move leadership, and change who is a member."""

    def __init__(self, core: ClientContext) -> None:
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
            state_bytes=reply.state_bytes,
            quota_bytes=reply.quota_bytes,
            quota_alarm=reply.quota_alarm,
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

    async def members(self, *, timeout_ms: int | None = None) -> list[Member]:
        """Who is in the cluster, as the leader has it (linearizable)."""
        return _members(await self._core.read(LIST_MEMBERS, pb.ListMembersRequest(), timeout_ms))

    async def add_member(
        self, node_id: str, address: str, peer_address: str, *, timeout_ms: int | None = None
    ) -> list[Member]:
        """Take a node in as a learner; the members then. It copies the log once it runs, and votes
        when it is promoted. Raises FailedPreconditionError (the id or an address is taken by
        another member, there are too many, or another change is not committed yet)."""
        request = pb.AddMemberRequest(id=node_id, address=address, peer_address=peer_address)
        deadline = self._core.deadline(timeout_ms)
        return await self._when_possible(
            lambda: self._core.caller.call(ADD_MEMBER, request, deadline), deadline
        )

    async def promote_member(self, node_id: str, *, timeout_ms: int | None = None) -> list[Member]:
        """Let a learner vote; the members then. Waits, within the time-out, until it has caught
        up. Raises NotFoundError, FailedPreconditionError."""
        request = pb.PromoteMemberRequest(id=node_id)
        deadline = self._core.deadline(timeout_ms)
        return await self._when_possible(
            lambda: self._core.caller.call(PROMOTE_MEMBER, request, deadline), deadline
        )

    async def remove_member(self, node_id: str, *, timeout_ms: int | None = None) -> list[Member]:
        """Take a member out; the members then. One that leads hands over first, one that runs
        stops itself. Raises NotFoundError; FailedPreconditionError if without it no majority could
        be reached. Not repeated once the outcome is unknown: look at `members` then."""
        request = pb.RemoveMemberRequest(id=node_id)
        deadline = self._core.deadline(timeout_ms)
        return await self._when_possible(
            lambda: self._core.caller.call(
                REMOVE_MEMBER, request, deadline, repeatable=False, wait_ms=deadline.remaining_ms
            ),
            deadline,
        )

    async def level(self, *, timeout_ms: int | None = None) -> FeatureLevel:
        """The feature level in force (linearizable), and what the members' builds support."""
        return _level(await self._core.read(GET_LEVEL, pb.GetLevelRequest(), timeout_ms))

    async def raise_level(self, level: int = 0, *, timeout_ms: int | None = None) -> FeatureLevel:
        """Raise the feature level (0: to the highest that the leader's build supports). It never
        goes down again. Raises FailedPreconditionError while a member's build does not support it,
        or that member is not connected. Doing it again changes nothing."""
        request = pb.RaiseLevelRequest(level=level)
        deadline = self._core.deadline(timeout_ms)
        return _level(await self._core.caller.call(RAISE_LEVEL, request, deadline))

    async def quota(self, *, timeout_ms: int | None = None) -> Quota:
        """How large the state is and may become (linearizable)."""
        return _quota(await self._core.read(GET_QUOTA, pb.GetQuotaRequest(), timeout_ms))

    async def set_quota(self, limit_bytes: int, *, timeout_ms: int | None = None) -> Quota:
        """Set how large the state may become (0: what the machines have room for). Doing it again
        changes nothing."""
        request = pb.SetQuotaRequest(limit_bytes=limit_bytes)
        deadline = self._core.deadline(timeout_ms)
        return _quota(await self._core.caller.call(SET_QUOTA, request, deadline))

    async def _when_possible(
        self, call: Callable[[], Awaitable[pb.MembersResponse]], deadline: Deadline
    ) -> list[Member]:
        """Ask again while the cluster says that a moment later it may do it."""
        while True:
            try:
                return _members(await call())
            except FailedPreconditionError as error:
                if not error.retryable or deadline.remaining_s < 2 * TRY_AGAIN_S:
                    raise
            await asyncio.sleep(TRY_AGAIN_S)

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


def _quota(reply: pb.QuotaResponse) -> Quota:
    return Quota(reply.bytes, reply.limit_bytes, reply.alarm, reply.automatic)


def _level(reply: pb.LevelResponse) -> FeatureLevel:
    members = {one.id: one.highest if one.known else None for one in reply.members}
    return FeatureLevel(reply.level, reply.highest, members)


def _members(reply: pb.MembersResponse) -> list[Member]:
    return [Member(m.id, m.address, m.peer_address, m.learner) for m in reply.members]


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
        alarms=tuple(member.alarms),
        note=member.note,
    )
