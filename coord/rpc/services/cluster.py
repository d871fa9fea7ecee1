"""coord.v1.Cluster: who leads, how far everybody is, whether states agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from importlib.metadata import version

from coord.core.base.build import COMPILED
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.table import ViewGivenUpError
from coord.core.digest import Digester
from coord.pb import cluster_pb2 as pb
from coord.replication.background import AWAITED, rest_s
from coord.replication.port import Member, NotLeaderError, ReplicationError
from coord.rpc.call import Call, Method, Route
from coord.rpc.services.context import Backend
from coord.rpc.services.members import MemberChanges
from coord.rpc.services.quota import QuotaMethods
from coord.runtime import errors
from coord.runtime.errors import CallError, Code, ServiceReason

_PATH = "/coord.v1.Cluster/"
_ASK_TIMEOUT_S = 0.5
# A node that runs the compiled core says so.
_VERSION = version("coord-store") + ("+compiled" if COMPILED else "")
_MAX_DIGEST_WAIT_MS = 60_000
_DIGEST_RETRY_MS = 1_000  # after more has changed during a digest than memory may be taken for


class ClusterService:
    """What nodes know of themselves and of each other."""

    name = "coord.v1.Cluster"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._forwarder = backend.forwarder
        self._levels = backend.levels
        self._members = MemberChanges(backend)
        self._quota = QuotaMethods(backend)

    def methods(self) -> Iterable[Method]:
        """The table of this service."""
        yield Method(f"{_PATH}Status", self.status, Route.HERE)
        yield Method(f"{_PATH}NodeStatus", self.node_status, Route.HERE)
        yield Method(f"{_PATH}NodeDigest", self.node_digest, Route.HERE)
        yield Method(f"{_PATH}TransferLeader", self.transfer_leader, writes=True)
        yield Method(f"{_PATH}GetLevel", self.get_level)
        yield Method(f"{_PATH}RaiseLevel", self.raise_level, writes=True)
        yield from self._members.methods()
        yield from self._quota.methods()

    async def status(self, call: Call) -> bytes:
        """Everybody's status; who does not answer at once is unreachable."""
        call.parse(pb.StatusRequest)
        own = self._own_status()
        replica = self._backend.replicator.status()
        members = replica.members
        answers = await asyncio.gather(*(self._ask(member, own) for member in members))
        known = [answer for answer in answers if answer is not None]
        # Who leads is what the newest term says; a node that was cut off may believe otherwise.
        leader, term = "", 0
        for answer in known:
            if answer.member.term > term or (answer.member.term == term and not leader):
                leader, term = answer.leader, answer.member.term
        leading = next((one for one in known if one.member.id == leader), pb.NodeStatusResponse())
        return pb.StatusResponse(
            cluster_id=self._backend.cluster_id,
            node_id=self._backend.node_id,
            leader=leader,
            term=term,
            state_bytes=leading.state_bytes,
            quota_bytes=leading.quota_bytes,
            quota_alarm=leading.quota_alarm,
            revision=max(answer.revision for answer in known) if known else own.revision,
            members=[
                _unreachable(member, one_way=member.node_id in replica.one_way)
                if answer is None
                else answer.member
                for member, answer in zip(members, answers, strict=True)
            ],
        ).SerializeToString()

    async def _ask(
        self, member: Member, own: pb.NodeStatusResponse
    ) -> pb.NodeStatusResponse | None:
        if member.node_id == self._backend.node_id:
            return own
        raw = await self._forwarder.ask(
            member.client_address, f"{_PATH}NodeStatus", b"", _ASK_TIMEOUT_S
        )
        return None if raw is None else pb.NodeStatusResponse.FromString(raw)

    async def node_status(self, call: Call) -> bytes:
        """This node's status."""
        call.parse(pb.NodeStatusRequest)
        return self._own_status().SerializeToString()

    def _own_status(self) -> pb.NodeStatusResponse:
        backend = self._backend
        status = backend.replicator.status()
        quota = self._quota.answer()
        own = next((one for one in status.members if one.node_id == backend.node_id), None)
        return pb.NodeStatusResponse(
            cluster_id=backend.cluster_id,
            member=pb.MemberStatus(
                id=backend.node_id,
                address=own.client_address if own else "",
                peer_address=own.peer_address if own else "",
                role=status.role.value,
                term=status.term,
                commit_index=status.commit_index,
                applied_index=status.applied_index,
                reachable=True,
                version=_VERSION,
                checked_index=status.checked_index,
                alarms=status.alarms,
            ),
            leader=status.leader_id or "",
            revision=backend.state.revision,
            write_block_reason=status.write_block_reason or "",
            cluster_time_ms=backend.clock.now_ms(),
            snapshot_index=status.snapshot_index,
            log_first_index=status.first_log_index,
            log_last_index=status.last_log_index,
            state_bytes=quota.bytes,
            quota_bytes=quota.limit_bytes,
            quota_alarm=quota.alarm,
        )

    async def node_digest(self, call: Call) -> bytes:
        """The digest of this node's state, made in slices with a rest between them."""
        request = call.parse(pb.NodeDigestRequest)
        backend = self._backend
        if request.min_applied_index:
            wait_s = min(request.wait_ms, _MAX_DIGEST_WAIT_MS) / 1000
            try:
                async with asyncio.timeout(wait_s):
                    await backend.replicator.wait_applied(request.min_applied_index)
            except TimeoutError:
                pass  # the answer says how far this node is
        applied_index = backend.replicator.status().applied_index
        try:
            with Digester(backend.state) as digester:
                digest = await _digest_in_slices(digester)
        except ViewGivenUpError as error:
            raise errors.busy(_DIGEST_RETRY_MS) from error
        return pb.NodeDigestResponse(
            node_id=backend.node_id,
            applied_index=applied_index,
            revision=digester.revision,
            digest=digest,
        ).SerializeToString()

    async def transfer_leader(self, call: Call) -> bytes:
        """Hand leadership over."""
        target = call.parse(pb.TransferLeaderRequest).target
        replicator, leadership = self._backend.replicator, self._backend.leadership
        if target and target not in leadership.members:
            raise errors.invalid(
                f"target is {target!a}; allowed is {', '.join(sorted(leadership.members))}",
                "target",
            )
        if target == self._backend.node_id:
            return pb.TransferLeaderResponse(
                leader=target, term=leadership.term
            ).SerializeToString()
        try:
            leader = await replicator.transfer_leadership(target or None)
        except NotLeaderError:
            raise
        except ReplicationError as error:
            raise CallError(
                Code.FAILED_PRECONDITION,
                ServiceReason.TRANSFER_FAILED,
                str(error),
                definite=error.definite,
            ) from error
        term = replicator.status().term
        return pb.TransferLeaderResponse(leader=leader, term=term).SerializeToString()

    async def get_level(self, call: Call) -> bytes:
        """The level in force, and what the builds of the members support."""
        call.parse(pb.GetLevelRequest)
        await self._backend.replicator.read_barrier()
        return self._level_answer()

    async def raise_level(self, call: Call) -> bytes:
        """Raise the level; 0 in the request: to the highest that this build supports."""
        level = call.parse(pb.RaiseLevelRequest).level or HIGHEST_LEVEL
        raised = self._levels.raise_to(level)
        if raised is not None:
            await raised
        return self._level_answer()

    def _level_answer(self) -> bytes:
        known = self._backend.replicator.member_levels
        return pb.LevelResponse(
            level=self._levels.level,
            highest=HIGHEST_LEVEL,
            members=[
                pb.MemberLevel(
                    id=node_id,
                    highest=known.get(node_id) or 0,
                    known=known.get(node_id) is not None,
                )
                for node_id in self._backend.leadership.members
            ],
        ).SerializeToString()


async def _digest_in_slices(digester: Digester) -> str:
    began = time.perf_counter()
    for digest in digester:
        if digest is not None:
            return digest
        await asyncio.sleep(rest_s(began, AWAITED))
        began = time.perf_counter()
    raise errors.internal()


def _unreachable(member: Member, *, one_way: bool) -> pb.MemberStatus:
    """`one_way`: it has connected to this node, so it runs, but is not where it should be."""
    note = (
        f"it runs, but does not answer at {member.peer_address}, where the members have it; "
        "was it started with other addresses?"
    )
    return pb.MemberStatus(
        id=member.node_id,
        address=member.client_address,
        peer_address=member.peer_address,
        note=note if one_way else "",
    )
