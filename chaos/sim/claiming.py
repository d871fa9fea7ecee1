"""A claim at a simulated node: it goes to the log when there is something to claim, and waits in
the claim queue otherwise. One that comes back empty waits again, in front."""

from __future__ import annotations

from collections.abc import Callable

from chaos.sim.scheduler import NodeScheduler, SimOutcome
from coord.core.batch import Reply
from coord.core.tasks.commands import Claimed, ClaimTasks
from coord.runtime.claim_queue import ClaimQueue

NOTHING = Claimed(())


class Claiming:
    """One claim. `submit` has it logged; `answer` is given a reply, or what went wrong."""

    def __init__(
        self,
        claims: ClaimQueue[SimOutcome],
        scheduler: NodeScheduler,
        command: ClaimTasks,
        wait_s: float,
        submit: Callable[[Callable[[SimOutcome], None]], None],
        answer: Callable[[Reply | BaseException], None],
    ) -> None:
        self._claims = claims
        self._scheduler = scheduler
        self._asked = (tuple(dict.fromkeys(command.queues)), command.max_tasks)
        self._until = scheduler.time() + wait_s
        self._submit = submit
        self._answer = answer

    def begin(self) -> None:
        """Look whether there is something to claim."""
        if self._claims.try_enter(*self._asked):
            self._submit(self._ended)
        else:
            self._park(first=False)

    def _park(self, *, first: bool) -> None:
        left_s = self._until - self._scheduler.time()
        self._claims.park(*self._asked, left_s, first=first).turn.add_done_callback(self._turned)

    def _turned(self, turn: SimOutcome) -> None:
        error = turn.exception()
        if error is not None:
            self._answer(error)
        elif turn.result():
            self._submit(self._ended)
        else:
            self._answer(NOTHING)

    def _ended(self, outcome: SimOutcome) -> None:
        self._claims.leave(*self._asked)
        if outcome.cancelled():
            return
        error = outcome.exception()
        if error is not None:
            self._answer(error)
        elif outcome.result() == NOTHING:
            self._park(first=True)
        else:
            self._answer(outcome.result())
