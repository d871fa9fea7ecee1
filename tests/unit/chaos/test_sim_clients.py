"""Simulated clients: what they take for a sign of life."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.sim.clients import SESSION_MS, SimClient
from chaos.sim.clock import SimClock
from chaos.sim.invariants import Violation
from chaos.sim.plan import make_plan
from chaos.sim.promises import Promises
from chaos.sim.service import Done, Outcome
from coord.core.locks.commands import LockReply
from coord.core.sessions.commands import SessionOpened
from coord.core.tasks.commands import Claimed


class Answers:
    """A port that answers what the client does next, at once."""

    def __init__(self) -> None:
        self.reply: Any = None

    def ask(self, node_id: str, action: Any, done: Done) -> None:
        done(Outcome("ok", self.reply))


def holding(answers: Answers, clock: SimClock, promises: Promises) -> SimClient:
    """A client that has been told that it holds a lock, at second 0."""
    client = SimClient(0, make_plan(0), clock, answers, promises)
    for reply, act in (
        (SessionOpened(7, SESSION_MS, 1), client._open_session),
        (LockReply(True, 5, False, 0, 5), client._acquire),
    ):
        answers.reply = reply
        act()
    return client


@pytest.mark.parametrize("renews", [True, False])
def test_an_empty_claim_is_not_logged_and_keeps_no_session_alive(renews: bool) -> None:
    answers, clock, promises = Answers(), SimClock(), Promises()
    client = holding(answers, clock, promises)
    (name,) = client._locks
    client.stopped = True
    clock.run_until(2.0)
    answers.reply = Claimed((("t1", 9, 1, 1_500),)) if renews else Claimed(())
    client._claim()
    clock.run_until(3.5)
    given = ("lock", name), 1, 10, clock.now, clock.now, SESSION_MS
    if renews:
        with pytest.raises(Violation, match="went to client 1"):
            promises.granted(*given)
    else:
        promises.granted(*given)
