"""What ends or begins by itself when time moves: sessions, locks, waits, leases, time-outs, delays,
retention. Runs before the requests of a batch, in the order (deadline, kind, id).

One batch carries out so much and no more (`Limits.max_expiries_per_batch`), so that a hundred
thousand leases that end at one moment do not hold up a node; the ticker proposes further batches
while something is overdue. Nothing overdue is taken for valid meanwhile: before a request is
handled in a batch that left something over, whatever that request names is brought up to date.
"""

from __future__ import annotations

from collections.abc import Mapping

from coord.core.base.timers import TimerKind
from coord.core.domain import Due
from coord.core.state import State
from coord.core.tasks.retention import forget_due


def expire_due(state: State, due_of: Mapping[TimerKind, Due]) -> None:
    """Carries out what is due at the state's time, cluster time first, within the bounds of a
    batch."""
    while state.expiries_left and (due := state.timers.pop_due(state.now_ms)) is not None:
        state.expiries_left -= 1
        due_of[due[0]](state, due[1])
    while state.expiries_left and (due := state.wall_timers.pop_due(state.wall_ms)) is not None:
        state.expiries_left -= 1
        due_of[due[0]](state, due[1])
    if state.level:
        forget_due(state)
