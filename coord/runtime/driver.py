"""What a node does of itself around its state machine, put together: it proposes, lets time pass,
keeps the feature level and lets claims through. Whoever runs a node tells the driver what happens.

It does no I/O: a server runs it on its event loop, and the simulator on a simulated clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, Protocol

from coord.codec.envelope import BatchCache
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.request import Event, EventKind
from coord.replication.port import NotLeaderError
from coord.runtime.claim_queue import ClaimQueue, ready_count
from coord.runtime.cluster_clock import ClusterClock
from coord.runtime.level_keeper import Builds, LevelKeeper
from coord.runtime.parts import Leadership, Part
from coord.runtime.proposer import EntryLog, Proposer, ProposerLimits
from coord.runtime.scheduler import OutcomeT, Scheduler
from coord.runtime.state_machine import ReplicatedStateMachine
from coord.runtime.ticker import Ticker


class DriverLog(EntryLog, Builds, Protocol):
    """What the driver needs of replication; a `Replicator` has it."""


class Driver(Part, Generic[OutcomeT]):
    """See the module. `cache` is the one that `state_machine` applies from."""

    def __init__(
        self,
        replicator: DriverLog,
        state_machine: ReplicatedStateMachine,
        clock: ClusterClock,
        cache: BatchCache,
        leadership: Leadership,
        scheduler: Scheduler[Any],
        limits: ProposerLimits | None = None,
        founding_level: int = HIGHEST_LEVEL,
    ) -> None:
        self._clock = clock
        self.proposer: Proposer[OutcomeT] = Proposer(replicator, clock, cache, scheduler, limits)
        self.claims: ClaimQueue[Any] = ClaimQueue(
            lambda queue: ready_count(state_machine.state, queue), scheduler
        )
        self.levels = LevelKeeper(
            replicator, state_machine, self.proposer, leadership, scheduler, founding_level
        )
        self._ticker = Ticker(
            clock, state_machine.next_deadline_ms, self.proposer.propose_empty, scheduler
        )

    def on_applied(self, events: Iterable[Event]) -> None:
        """See `Part.on_applied`."""
        ready = [event.subject for event in events if event.kind is EventKind.TASK_READY]
        if ready:
            self.claims.look(ready)
        self.levels.tell()
        self._ticker.look()

    def on_restored(self) -> None:
        """See `Part.on_restored`."""
        self.claims.look_everywhere()
        self.levels.tell()
        self._ticker.look()

    def on_leader_change(self, leadership: Leadership) -> None:
        """See `Part.on_leader_change`."""
        if leadership.is_leader:
            self._clock.start()
            self._ticker.lead()
            self.levels.lead()
            return
        self._clock.stop()
        self.rest()
        # Nothing of these was logged: their calls follow the leadership.
        moved = NotLeaderError(leadership.leader_id)
        self.proposer.fail_waiting(moved)
        self.end_waits(moved)

    def end_waits(self, error: Exception) -> None:
        """See `Part.end_waits`: claims wait here."""
        self.claims.end_all(error)

    def rest(self) -> None:
        """Propose nothing of itself any more: this node is on its way out, or leads no more."""
        self._ticker.rest()
        self.levels.rest()
