"""What a node says in its log about itself and the other members, once each time it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coord.ratelimit import LogLimiter
from coord.replication.replica import Replica

ADMISSION_PATIENCE_S = 1.0  # to be admitted takes no longer if all members are there


class ProblemLog:
    """Looks at a replica from time to time. `clock`: seconds. What peers say can make a problem
    come and go; `limiter` bounds how often that is told."""

    def __init__(self, log: Any, limiter: LogLimiter, clock: Callable[[], float]) -> None:
        self._log = log
        self._limiter = limiter
        self._clock = clock
        self._waits_for = ""
        self._waits_since = 0.0
        self._wait_reported = False
        self._problem = ""  # about the members' states, as logged last
        self._snapshot_problem = ""  # as logged last

    def look_at(self, replica: Replica) -> None:
        """To be called at every tick."""
        self._report_admission(replica.admission.waits_for)
        self._report_states(replica.state_check.problem)
        self._report_snapshots(replica.snapshots.problem)

    def _report_admission(self, why: str) -> None:
        """Say once what keeps this node from voting, if it takes a while."""
        now = self._clock()
        if why != self._waits_for:
            self._waits_for, self._waits_since = why, now
            self._wait_reported = False
        if why and not self._wait_reported and now - self._waits_since >= ADMISSION_PATIENCE_S:
            self._wait_reported = True
            self._limiter.log(self._log.warning, "replica_does_not_vote_yet", why=why)

    def _report_states(self, problem: str) -> None:
        """Say once what is wrong with the members' states."""
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            self._limiter.log(self._log.error, "replica_states_differ", why=problem)
        else:
            self._limiter.log(self._log.info, "replica_states_agree_again")

    def _report_snapshots(self, problem: str) -> None:
        """Say once for each attempt why no snapshot can be taken."""
        if problem == self._snapshot_problem:
            return
        self._snapshot_problem = problem
        if problem:
            self._log.error("replica_snapshot_failed", why=problem)
        else:
            self._log.info("replica_snapshot_taken_again")
