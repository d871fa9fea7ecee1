"""The owner of the engine: what the engine asks for goes to the replica's roles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coord.replication.appends import Appends
from coord.replication.engine_journal import EngineJournal
from coord.replication.errors import ApplyFailedError, FatalReplicaError
from coord.replication.following import Following
from coord.replication.message_filter import Answer
from coord.replication.port import StateMachine
from coord.replication.progress import LeaderAccount
from coord.replication.proposals import Proposals
from coord.replication.reconfiguration import Reconfiguration
from coord.replication.replica_ports import ReplicaPorts
from coord.replication.state_check import StateCheck
from coord.replication.voting import Voting


class EngineOwner:
    """An `EnginePort`. The engine is made before the roles that use it, so `serve` is called once
    they are there; until then the engine asks for nothing but the time."""

    may_send_to: Callable[[str], bool]

    def __init__(self, ports: ReplicaPorts, machine: StateMachine) -> None:
        self.now = ports.now
        self._ports = ports
        self._machine = machine

    def serve(
        self,
        journal: EngineJournal,
        account: LeaderAccount,
        appends: Appends,
        proposals: Proposals,
        following: Following,
        voting: Voting,
        reconfiguration: Reconfiguration,
        state_check: StateCheck,
    ) -> None:
        """Pass on to these from now on."""
        self.may_send_to = account.may_send_to
        self._account = account
        self._journal = journal
        self._appends = appends
        self._proposals = proposals
        self._following = following
        self._voting = voting
        self._reconfiguration = reconfiguration
        self._state_check = state_check

    def engine_apply(self, index: int, term: int, data: bytes) -> None:
        """Apply a committed entry. A raise stops the node: the entry is neither skipped nor applied
        twice."""
        self._state_check.before_apply(index)
        try:
            result = self._machine.apply(index, term, data)
        except Exception as error:
            what = f"entry {index} of term {term} can not be applied"
            raise ApplyFailedError(f"{what} ({type(error).__name__}): {error}") from error
        self._proposals.applied(index)
        self._ports.applied(index, term, result)

    def engine_members(self, index: int) -> None:
        """Note a committed change of the members; its result is the tuple of members."""
        term = self._journal.term_at(index) or 0
        self._reconfiguration.committed(index, term)
        self._ports.applied(index, term, self._journal.memberships.at(index).members)

    def needs_snapshot(self, peer_id: str) -> None:
        """Note that the entries the peer lacks are not in the log any more."""
        self._account.current().wants_snapshot.add(peer_id)

    def engine_send(self, peer_id: str, message: dict[str, Any]) -> bool:
        """Translate an engine's message; hold back what promises durability."""
        kind = message["type"]
        if kind == "append_entries":
            return self._appends.send(peer_id, message)
        if kind == "next_node_idx":
            answer = Answer(message["next_node_idx"], message["success"], message["reset"])
            self._following.answer(peer_id, answer)
        elif kind == "request_vote":
            self._voting.engine_asks(peer_id, message)
        elif kind == "response_vote":
            self._voting.engine_votes(peer_id)
        else:
            raise FatalReplicaError(f"the engine sent an unexpected {kind}")
        return True
