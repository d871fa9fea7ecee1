"""What ends or begins by itself when time moves: sessions, locks, waits, leases, time-outs, delays,
retention. Runs before the requests of a batch, in the order (deadline, kind, id).

One batch carries out so much and no more (`Limits.max_expiries_per_batch`), so that a hundred
thousand leases that end at one moment do not hold up a node; the ticker proposes further batches
while something is overdue. Nothing overdue is taken for valid meanwhile: before a request is
handled in a batch that left something over, whatever that request names is brought up to date.
"""

from __future__ import annotations

from coord.core.base.context import Context
from coord.core.domain import Bound


def expire_due(ctx: Context, bound: Bound) -> None:
    """Carries out what is due at the state's time, cluster time first, within the bounds of a
    batch."""
    due_of = bound.due
    while ctx.expiries_left and (due := ctx.timers.pop_due(ctx.now_ms)) is not None:
        ctx.expiries_left -= 1
        carry_out, tables = due_of[due[0]]
        carry_out(ctx, tables, due[1])
    while ctx.expiries_left and (due := ctx.wall_timers.pop_due(ctx.wall_ms)) is not None:
        ctx.expiries_left -= 1
        carry_out, tables = due_of[due[0]]
        carry_out(ctx, tables, due[1])
    if ctx.level:
        for forget, tables in bound.forget:
            forget(ctx, tables)


def go_on(ctx: Context, bound: Bound) -> None:
    """Do this batch's part of what was begun and is too much for one entry. Takes at most half of
    what the batch may end by itself: the requests behind it may have to end something too."""
    left = ctx.expiries_left // 2
    for chore, tables in bound.chores:
        if chore.pending(tables):
            done = chore.go_on(ctx, tables, left)
            left -= done
            ctx.expiries_left -= done


def has_chores(bound: Bound) -> bool:
    """Whether something that was begun is left for the next entries."""
    for chore, tables in bound.chores:  # noqa: SIM110 - asked for every entry
        if chore.pending(tables):
            return True
    return False
