"""The feature level at run time: replication is told the level in force, and the first leader of a
new cluster raises it to what every member's build supports.

A cluster with data in it is raised by an operator (`coord cluster level raise`), because there is
no way back to the builds before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol

import structlog

from coord.codec.kinds import CommandKind
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.cluster.commands import RaiseLevel
from coord.pb import cluster_pb2 as pb
from coord.replication.port import ReplicationError
from coord.runtime import errors
from coord.runtime.errors import CallError
from coord.runtime.parts import Leadership
from coord.runtime.proposer import Proposer
from coord.runtime.scheduler import Outcome, OutcomeT, Timer, Timers
from coord.runtime.state_machine import ReplicatedStateMachine

log = structlog.get_logger()

_LOOK_AGAIN_S = 0.05


class Builds(Protocol):
    """What the level keeper needs of replication; a `Replicator` has it."""

    @property
    def member_levels(self) -> dict[str, int | None]:
        """See `Replicator.member_levels`."""
        ...

    def require_level(self, level: int) -> None:
        """See `Replicator.require_level`."""
        ...


class LevelKeeper(Generic[OutcomeT]):
    """See the module. `founding_level`: to which the first leader of a new cluster raises it."""

    def __init__(
        self,
        replicator: Builds,
        state_machine: ReplicatedStateMachine,
        proposer: Proposer[OutcomeT],
        leadership: Leadership,
        timers: Timers,
        founding_level: int = HIGHEST_LEVEL,
    ) -> None:
        self._replicator = replicator
        self._state_machine = state_machine
        self._proposer = proposer
        self._leadership = leadership
        self._told = 0
        self._founding = False
        self._timers = timers
        self._founding_level = founding_level
        self._timer: Timer | None = None

    @property
    def level(self) -> int:
        """The level in force, as applied here."""
        return self._state_machine.state.level

    def tell(self) -> None:
        """Have replication refuse builds that do not support the level in force."""
        if self.level != self._told:
            self._told = self.level
            self._replicator.require_level(self._told)

    def lead(self) -> None:
        """This node leads. It founds the cluster if nothing was ever written."""
        state = self._state_machine.state
        self._founding = not state.revision and not state.level
        self._raise_when_founding()

    def rest(self) -> None:
        """Somebody else leads, or nobody."""
        self._founding = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def missing(self, level: int) -> dict[str, int | None]:
        """The members that do not support `level`, or have not said so on a live connection."""
        levels = self._replicator.member_levels
        return {
            node_id: levels.get(node_id)
            for node_id in self._leadership.members
            if (levels.get(node_id) or 0) < level
        }

    def raise_to(self, level: int) -> OutcomeT | None:
        """Raise the level: the outcome is there once it is in force. None: it is in force already.
        Raises CallError (definite: a member does not support it) or what the proposer raises."""
        if level <= self.level:
            return None
        if level > HIGHEST_LEVEL:
            raise errors.invalid(
                f"level is {level}; this build supports levels up to {HIGHEST_LEVEL}", "level"
            )
        missing = self.missing(level)
        if missing:
            raise _members_behind(level, missing)
        return self._propose(level)

    def _propose(self, level: int) -> OutcomeT:
        raw = pb.RaiseLevelRequest(level=level).SerializeToString()
        return self._proposer.submit(CommandKind.RAISE_LEVEL, raw, RaiseLevel(level))

    def _raise_when_founding(self) -> None:
        self._timer = None
        level = self._founding_level
        if not self._founding or self.level >= level:
            return
        if self.missing(level):
            due = self._timers.time() + _LOOK_AGAIN_S
            self._timer = self._timers.call_at(due, self._raise_when_founding)
            return
        self._founding = False
        try:
            self._propose(level).add_done_callback(self._raised)
        except (CallError, ReplicationError) as error:
            log.warning("level_not_raised", level=self._founding_level, why=str(error))

    def _raised(self, done: Outcome[Any]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            log.warning("level_not_raised", level=self._founding_level, why=str(error))
            # Another leader of the still empty cluster does it; this one tries again if it leads.
            self._founding = self._leadership.is_leader
            self._raise_when_founding()


def _members_behind(level: int, missing: Mapping[str, int | None]) -> CallError:
    said = ", ".join(
        f"{node_id} is not connected" if found is None else f"{node_id} supports {found}"
        for node_id, found in sorted(missing.items())
    )
    return errors.members_behind(level, said)
