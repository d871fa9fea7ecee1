"""What ends or begins by itself when time moves: sessions, locks, waits, leases, time-outs, delays,
retention. Runs before the requests of a batch, in the order (deadline, kind, id).

One batch carries out so much and no more (`Limits.max_expiries_per_batch`), so that a hundred
thousand leases that end at one moment do not hold up a node; the ticker proposes further batches
while something is overdue. Nothing overdue is taken for valid meanwhile: before a request is
handled in a batch that left something over, whatever that request names is brought up to date.
"""

from __future__ import annotations

from typing import Final

from coord.core.base.timers import Ident, TimerKind
from coord.core.batch import Command
from coord.core.domains import DOMAINS
from coord.core.state import State
from coord.core.tasks.retention import forget_due


def expire_due(state: State) -> None:
    """Carries out what is due at the state's time, cluster time first, within the bounds of a
    batch."""
    while state.expiries_left and (due := state.timers.pop_due(state.now_ms)) is not None:
        state.expiries_left -= 1
        _expire(state, *due)
    while state.expiries_left and (due := state.wall_timers.pop_due(state.wall_ms)) is not None:
        state.expiries_left -= 1
        _expire(state, *due)
    if state.level:
        forget_due(state)


def settle_named(state: State, command: Command, session_id: int) -> None:
    """Carries out what is overdue of all that this request names, so that its handler sees nothing
    that has ended as valid. Sessions need nothing done: `is_open` looks at the time."""
    settle = _SETTLE.get(type(command))
    if settle is not None:
        settle(state, command, session_id)


def _expire(state: State, kind: TimerKind, ident: Ident) -> None:
    _DUE[kind](state, ident)


_SETTLE: Final = {kind: settle for domain in DOMAINS for kind, settle in domain.settle.items()}
_DUE: Final = {kind: due for domain in DOMAINS for kind, due in domain.due.items()}
