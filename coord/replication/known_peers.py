"""Whom a node talks to. That is more than its members: also those that a peer with a later
membership named (a node that was away finds the others by it), those of the last committed
membership while a change is not committed, and, for a short while, who has just been removed, so
that it can be told. It is only about connections; nobody is counted for it.
"""

from __future__ import annotations

from typing import Final

from coord.replication.membership import Membership
from coord.replication.port import Member
from coord.replication.replica_context import ReplicaContext

FAREWELL_S: Final = 3.0  # how long who was removed is still talked to


class KnownPeers:
    """`addresses`: of all other nodes this one talks to, by id; replaced, never changed."""

    def __init__(self, context: ReplicaContext) -> None:
        self._context = context
        self._told: Membership | None = None  # the latest that another node named
        self._departed: dict[str, tuple[str, float]] = {}  # address, and until when it is known
        self.addresses: dict[str, str] = self._all_addresses()

    def hear(self, told: Membership) -> None:
        """Note the membership that a peer named."""
        latest = self._context.electorate.membership.index
        if told.index > max(latest, -1 if self._told is None else self._told.index):
            self._told = told
            self.update()

    def removed(self, member: Member) -> None:
        """Go on talking to a member that was removed, for a while."""
        self._departed[member.node_id] = (member.peer_address, self._context.now() + FAREWELL_S)

    def tick(self) -> None:
        """Forget those who were removed a while ago, and seeds that are not needed any more."""
        now = self._context.now()
        for peer_id, (_, until) in list(self._departed.items()):
            if now >= until:
                del self._departed[peer_id]
        self.update()

    def update(self) -> None:
        """Let the world know if these are others than before."""
        addresses = self._all_addresses()
        if addresses != self.addresses:
            self.addresses = addresses
            self._context.ports.peers_changed(dict(addresses))

    def _all_addresses(self) -> dict[str, str]:
        context = self._context
        present = context.electorate.membership
        sources = [context.journal.memberships.at(context.engine.commit_index), present]
        if not context.admission.votes:
            sources.insert(0, context.seeds)
        if self._told is not None and self._told.index > present.index:
            sources.append(self._told)
        found = {peer: address for peer, (address, _) in self._departed.items()}
        for source in sources:
            found.update((member.node_id, member.peer_address) for member in source.members)
        return {
            peer: address for peer, address in found.items() if peer != context.self_id and address
        }
