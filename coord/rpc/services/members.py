"""The part of coord.v1.Cluster that changes who is in the cluster. Served by the leader."""

from __future__ import annotations

from collections.abc import Iterable

from coord.pb import cluster_pb2 as pb
from coord.replication.names import ADDRESS_RULE, NAME_RULE, checked_address, checked_name
from coord.replication.port import (
    AddLearner,
    Member,
    MembershipChange,
    MembershipRefusal,
    MembershipRefusedError,
    NotLeaderError,
    Promote,
    Remove,
    Replicator,
)
from coord.rpc.call import Call, Method
from coord.rpc.services.context import Backend
from coord.runtime import errors

_PATH = "/coord.v1.Cluster/"


class MemberChanges:
    """See the module."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def methods(self) -> Iterable[Method]:
        """Their rows in the table of the service."""
        yield Method(f"{_PATH}ListMembers", self.list_members)
        yield Method(f"{_PATH}AddMember", self.add, writes=True)
        yield Method(f"{_PATH}PromoteMember", self.promote, writes=True)
        yield Method(f"{_PATH}RemoveMember", self.remove, writes=True)

    async def list_members(self, call: Call) -> bytes:
        """As the leader has them, which it makes sure to be."""
        call.parse(pb.ListMembersRequest)
        await self._replicator.read_barrier()
        return _answer(self._replicator.status().members)

    async def add(self, call: Call) -> bytes:
        """A member that is there already, with these addresses, is fine."""
        request = call.parse(pb.AddMemberRequest)
        new = Member(
            _name(request.id),
            _address("peer_address", request.peer_address),
            _address("address", request.address),
            learner=True,
        )
        present = self._find(new.node_id)
        if present is not None and _places(present) == _places(new):
            return await self.list_members(call.with_request(b""))
        return await self._change(AddLearner(new))

    async def promote(self, call: Call) -> bytes:
        """A member that votes already is fine."""
        node_id = _name(call.parse(pb.PromoteMemberRequest).id)
        present = self._find(node_id)
        if present is not None and not present.learner:
            return await self.list_members(call.with_request(b""))
        return await self._change(Promote(node_id))

    async def remove(self, call: Call) -> bytes:
        """A leader hands over, and the call goes on to its successor."""
        node_id = _name(call.parse(pb.RemoveMemberRequest).id)
        try:
            return await self._change(Remove(node_id))
        except MembershipRefusedError as error:
            if error.reason is not MembershipRefusal.LEADER_LEAVES:
                raise
        raise NotLeaderError(await self._replicator.transfer_leadership())

    @property
    def _replicator(self) -> Replicator:
        return self._backend.replicator

    def _find(self, node_id: str) -> Member | None:
        members = self._replicator.status().members
        return next((member for member in members if member.node_id == node_id), None)

    async def _change(self, change: MembershipChange) -> bytes:
        return _answer(await self._replicator.change_members(change))


def _answer(members: Iterable[Member]) -> bytes:
    return pb.MembersResponse(
        members=[
            pb.Member(
                id=member.node_id,
                address=member.client_address,
                peer_address=member.peer_address,
                learner=member.learner,
            )
            for member in members
        ]
    ).SerializeToString()


def _places(member: Member) -> tuple[str, str]:
    return member.peer_address, member.client_address


def _name(value: str) -> str:
    try:
        return checked_name(value)
    except ValueError:
        raise errors.invalid(f"id is {value[:80]!a}; allowed is {NAME_RULE}", "id") from None


def _address(field: str, value: str) -> str:
    try:
        return checked_address(value)
    except ValueError:
        text = f"{field} is {value[:80]!a}; allowed is {ADDRESS_RULE}"
        raise errors.invalid(text, field) from None
