"""The part of coord.v1.Cluster that shows and sets the quota on the state. Served by the leader."""

from __future__ import annotations

from collections.abc import Iterable

from coord.codec.kinds import CommandKind
from coord.core.account import state_size
from coord.pb import cluster_pb2 as pb
from coord.rpc.call import Call, Method
from coord.rpc.services.context import Backend, accepted

_PATH = "/coord.v1.Cluster/"


class QuotaMethods:
    """See the module."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def methods(self) -> Iterable[Method]:
        """Their rows in the table of the service."""
        yield Method(f"{_PATH}GetQuota", self.get)
        yield Method(f"{_PATH}SetQuota", self.set, writes=True)

    async def get(self, call: Call) -> bytes:
        """The quota, and how much of it is used."""
        call.parse(pb.GetQuotaRequest)
        await self._backend.read(call)
        return self.answer().SerializeToString()

    async def set(self, call: Call) -> bytes:
        """Another quota; doing it again changes nothing."""
        backend, kind = self._backend, CommandKind.SET_QUOTA
        command, request_id = backend.decode(kind, call)
        accepted(await backend.submit(kind, call, command, request_id))
        return self.answer().SerializeToString()

    def answer(self) -> pb.QuotaResponse:
        """As this node sees it."""
        backend = self._backend
        state, members = backend.state, backend.leadership.members.values()
        limit, automatic = backend.quota.limit_bytes(state, members)
        return pb.QuotaResponse(
            bytes=state_size(state),
            limit_bytes=limit,
            alarm=backend.quota.alarm(state, members),
            automatic=automatic,
        )
