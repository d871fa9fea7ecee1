"""The feature level at run time: replication is told the level in force, and the first leader of a
new cluster raises it to what every member's build supports.

A cluster with data in it is raised by an operator (`coord cluster level raise`), because there is
no way back to the builds before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from coord.codec.kinds import CommandKind
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.request import Event
from coord.core.batch import Reply
from coord.core.cluster.commands import RaiseLevel
from coord.pb import cluster_pb2 as pb
from coord.replication.port import ReplicationError, Replicator
from coord.runtime import errors
from coord.runtime.errors import CallError
from coord.runtime.leader_view import LeaderView
from coord.runtime.parts import Part
from coord.runtime.proposer import Proposer
from coord.runtime.state_machine import MachineHost

log = structlog.get_logger()

_LOOK_AGAIN_S = 0.05


class LevelKeeper(Part):
    """See the module."""

    def __init__(
        self,
        replicator: Replicator,
        host: MachineHost,
        proposer: Proposer,
        leadership: LeaderView,
    ) -> None:
        self._replicator = replicator
        self._host = host
        self._proposer = proposer
        self._leadership = leadership
        self._told = 0
        self._founding = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def level(self) -> int:
        """The level in force, as applied here."""
        return self._host.state.level

    def on_applied(self, _: Iterable[Event]) -> None:
        """The level may be another."""
        self._tell()

    def on_restored(self) -> None:
        """The level may be another."""
        self._tell()

    def on_leader_change(self, leadership: LeaderView) -> None:
        """The leader founds a cluster."""
        if leadership.is_leader:
            self._lead()
        else:
            self._rest()

    def _tell(self) -> None:
        """Have replication refuse builds that do not support the level in force."""
        if self.level != self._told:
            self._told = self.level
            self._replicator.require_level(self._told)

    def _lead(self) -> None:
        """This node leads. It founds the cluster if nothing was ever written."""
        state = self._host.state
        self._founding = not state.revision and not state.level
        self._raise_when_founding()

    def _rest(self) -> None:
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

    async def raise_to(self, level: int) -> None:
        """Raise the level, and return once it is in force. Raises CallError (definite: a member
        does not support it) or what the proposer raises."""
        if level <= self.level:
            return
        if level > HIGHEST_LEVEL:
            raise errors.invalid(
                f"level is {level}; this build supports levels up to {HIGHEST_LEVEL}", "level"
            )
        missing = self.missing(level)
        if missing:
            raise _members_behind(level, missing)
        await self._propose(level)

    def _propose(self, level: int) -> asyncio.Future[Reply]:
        raw = pb.RaiseLevelRequest(level=level).SerializeToString()
        return self._proposer.submit(CommandKind.RAISE_LEVEL, raw, RaiseLevel(level))

    def _raise_when_founding(self) -> None:
        self._timer = None
        if not self._founding or self.level:
            return
        if self.missing(HIGHEST_LEVEL):
            self._timer = asyncio.get_running_loop().call_later(
                _LOOK_AGAIN_S, self._raise_when_founding
            )
            return
        self._founding = False
        try:
            self._propose(HIGHEST_LEVEL).add_done_callback(self._raised)
        except (CallError, ReplicationError) as error:
            log.warning("level_not_raised", level=HIGHEST_LEVEL, why=str(error))

    def _raised(self, done: asyncio.Future[Reply]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            log.warning("level_not_raised", level=HIGHEST_LEVEL, why=str(error))
            # Another leader of the still empty cluster does it; this one tries again if it leads.
            self._founding = self._leadership.is_leader
            self._raise_when_founding()


def _members_behind(level: int, missing: Mapping[str, int | None]) -> CallError:
    said = ", ".join(
        f"{node_id} is not connected" if found is None else f"{node_id} supports {found}"
        for node_id, found in sorted(missing.items())
    )
    return errors.members_behind(level, said)
