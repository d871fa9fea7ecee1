"""What the roles of one replica share."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from coord.replication.election import Election
from coord.replication.engine_journal import EngineJournal
from coord.replication.levels import Levels
from coord.replication.membership import Electorate, Membership, membership
from coord.replication.outbox import Outbox
from coord.replication.own_admission import OwnAdmission
from coord.replication.port import Member, Role
from coord.replication.progress import LeaderAccount
from coord.replication.pysyncobj_engine import EnginePort, EngineSettings, HardenedEngine
from coord.replication.recovery import first_membership, membership_of
from coord.replication.replica_ports import Boot, ReplicaPorts
from coord.replication.settings import ReplicaSettings


class ReplicaContext:
    """The log, the engine, the members and the outgoing messages of one replica.

    `members`: the configuration's list. `engine_port`: whom the engine asks. `connected`: the peers
    that messages can be sent to. `write_block_reason`: why this node's own disk takes no writes.
    `seeds`: the configuration as a membership; `first`: the members before the first change."""

    def __init__(
        self,
        self_id: str,
        members: Sequence[Member],
        settings: ReplicaSettings,
        boot: Boot,
        ports: ReplicaPorts,
        engine_port: EnginePort,
        rng: Random,
        levels: Levels | None,
    ) -> None:
        self.self_id = self_id
        self.settings = settings
        self.ports = ports
        self.now = ports.now
        self.levels = levels or Levels(settings.highest_level)
        self.connected: set[str] = set()
        self.write_block_reason: str | None = None
        self.seeds = membership(0, members)
        self.first = first_membership(self.seeds, boot.admission.founders)
        self.journal = _open_journal(boot, ports, membership_of(boot.snapshot, self.first))
        self.electorate = Electorate(self_id, self.journal.memberships.latest)
        self.admission = OwnAdmission(boot.admission)
        self.outbox = Outbox(ports.send, boot.boot_id, self.journal)
        self.election = Election(settings.election, rng, ports.now())
        self.engine = HardenedEngine(
            self.electorate,
            self.journal,
            engine_port,
            EngineSettings(settings.heartbeat_s, settings.election.max_s, settings.batch_bytes),
        )
        self.account = LeaderAccount(self.electorate, self.engine, self.connected, settings)

    @property
    def role(self) -> Role:
        """The engine's role; LEARNER unless this node may vote."""
        may_vote = self.admission.votes and self.electorate.votes
        return self.engine.role if may_vote else Role.LEARNER


def _open_journal(boot: Boot, ports: ReplicaPorts, start: Membership) -> EngineJournal:
    journal = EngineJournal(
        boot.entries, boot.term, boot.voted_for, boot.commit_index, ports.write, start
    )
    if boot.reset:
        journal.reset_to(boot.entries[0], start)
    return journal
