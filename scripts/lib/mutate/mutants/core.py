"""Bugs in the state machine: sessions, tasks, locks, time, snapshots."""

from __future__ import annotations

from typing import Final

from scripts.lib.mutate.mutant import Mutant, mutant

_SCENARIOS: Final = "tests/scenario/test_core_scenarios.py"
_MACHINE: Final = "tests/unit/core/test_machine.py"
_TIMERS: Final = "tests/unit/core/test_timers.py"
_TABLE: Final = "tests/unit/core/test_table.py"
_BACKLOG: Final = "tests/unit/core/test_backlog.py"

MUTANTS: Final[tuple[Mutant, ...]] = (
    mutant(
        "cluster-time-goes-back",
        "coord/core/base/context.py",
        "self.now_ms = max(self.now_ms, now_ms)",
        "self.now_ms = now_ms",
        _SCENARIOS,
    ),
    mutant(
        "timer-a-millisecond-late",
        "coord/core/base/timers.py",
        "if at_ms > until_ms:",
        "if at_ms >= until_ms:",
        _TIMERS,
    ),
    mutant(
        "session-lives-at-its-end",
        "coord/core/sessions/liveness.py",
        "session.expires_at_ms > ctx.now_ms",
        "session.expires_at_ms >= ctx.now_ms",
        _BACKLOG,
    ),
    mutant(
        "old-fencing-token-commits",
        "coord/core/tasks/attempts.py",
        "item.fencing_token == task.token",
        "item.fencing_token <= task.token",
        _SCENARIOS,
    ),
    mutant(
        "any-later-token-frees-a-lock",
        "coord/core/locks/handlers.py",
        "lock.token != token",
        "lock.token > token",
        _SCENARIOS,
    ),
    mutant(
        "repeated-request-runs-again",
        "coord/core/sessions/dedupe.py",
        "kept = tables.replies.get((session.session_id, sequence))",
        "kept = None",
        _SCENARIOS,
    ),
    mutant(
        "acked-below-off-by-one",
        "coord/core/sessions/dedupe.py",
        "bisect_left(session.replies, acked_below)",
        "bisect_left(session.replies, acked_below + 1)",
        _SCENARIOS,
    ),
    mutant(
        "forgotten-request-runs-again",
        "coord/core/sessions/dedupe.py",
        "sequence = request_id.sequence\n    if sequence < session.acked_below:",
        "sequence = request_id.sequence\n    if sequence < session.acked_below - 1:",
        _SCENARIOS,
    ),
    mutant(
        "ended-session-stays-in-lock-queues",
        "coord/core/sessions/handlers.py",
        "in sorted(held_by(session, kind)):",
        "in sorted(held_by(session, kind))[: 0 if kind == 1 else None]:",
        _SCENARIOS,
    ),
    mutant(
        "last-waiter-gets-the-lock-first",
        "coord/core/locks/handlers.py",
        "first = next(waiters_of(tables, name), None)",
        "first = next(reversed(list(waiters_of(tables, name))), None)",
        _SCENARIOS,
    ),
    mutant(
        "lock-passed-on-with-the-same-token",
        "coord/core/locks/handlers.py",
        "lock.token = ctx.next_revision()",
        "ctx.next_revision()",
        _SCENARIOS,
    ),
    mutant(
        "idempotency-key-not-kept",
        "coord/core/tasks/handlers.py",
        "queue.known_keys[spec.idempotency_key] = serial",
        "pass",
        _SCENARIOS,
    ),
    mutant(
        "idempotency-key-lost-in-a-snapshot",
        "coord/core/tasks/transitions.py",
        "queue.known_keys[task.idempotency_key] = task.serial",
        "pass",
        _SCENARIOS,
        _MACHINE,
    ),
    mutant(
        "retry-waits-a-step-too-long",
        "coord/core/tasks/attempts.py",
        "for _ in range(task.attempt - 1):",
        "for _ in range(task.attempt):",
        _SCENARIOS,
    ),
    mutant(
        "failed-task-gets-an-attempt-too-many",
        "coord/core/tasks/attempts.py",
        "if not retryable or task.attempt >= ",
        "if not retryable or task.attempt > ",
        _SCENARIOS,
    ),
    mutant(
        "lost-task-gets-an-attempt-too-many",
        "coord/core/tasks/attempts.py",
        "= task.attempt >= task.options.max_attempts",
        "= task.attempt > task.options.max_attempts",
        _SCENARIOS,
    ),
    mutant(
        "given-back-task-loses-an-attempt",
        "coord/core/tasks/attempts.py",
        "task.attempt -= 1",
        "task.attempt -= 0",
        _SCENARIOS,
    ),
    mutant(
        "claim-after-the-total-time-out",
        "coord/core/tasks/handlers.py",
        "if 0 < task.dies_at_ms <= ctx.now_ms:",
        "if 0 < task.dies_at_ms < ctx.now_ms:",
        _BACKLOG,
    ),
    mutant(
        "paused-queue-hands-out",
        "coord/core/tasks/handlers.py",
        "if known is None or known.paused or known.deleting:",
        "if known is None:",
        _SCENARIOS,
    ),
    mutant(
        "overdue-taken-for-valid",
        "coord/core/machine.py",
        "if not ctx.expiries_left:",
        "if False:",
        _BACKLOG,
    ),
    mutant(
        "snapshot-without-the-replies",
        "coord/core/sessions/tables.py",
        "return [self.sessions, self.replies]",
        "return [self.sessions]",
        _MACHINE,
    ),
    mutant(
        "snapshot-without-the-waiters",
        "coord/core/locks/tables.py",
        "return [self.locks, self.waiters]",
        "return [self.locks]",
        _MACHINE,
    ),
    mutant(
        "level-lost-in-a-snapshot",
        "coord/core/snapshot.py",
        "ctx.level = rest[0] if rest else 0",
        "ctx.level = 0",
        "tests/unit/core/test_levels.py",
    ),
    mutant(
        "snapshot-takes-a-later-change",
        "coord/core/base/table.py",
        "return key <= self._last and",
        "return key < self._last and",
        _TABLE,
    ),
    mutant(
        "page-begins-with-the-last-task-again",
        "coord/core/listing.py",
        "return index.between(after, None, (False, False))",
        "return index.between(after, None, (True, False))",
        "tests/unit/core/test_queries.py",
    ),
    mutant(
        "view-holds-whatever-changes",
        "coord/core/base/table.py",
        "if self.held_bytes > self.max_bytes:",
        "if False:",
        _TABLE,
    ),
    mutant(
        "slice-of-a-view-counts-rows-only",
        "coord/core/base/table.py",
        "            if weight >= max_weight:\n                break\n",
        "",
        _TABLE,
    ),
    mutant(
        "crowd-of-a-slot-passed-over",
        "coord/core/base/timers.py",
        "            self._crowd = crowd\n",
        "            pass\n",
        _TIMERS,
    ),
    mutant(
        "renewed-leases-all-filed-anew-together",
        "coord/core/base/timers.py",
        "or (self._stale >= self._max_stale and not was_stale)",
        "or False",
        _TIMERS,
    ),
    mutant(
        "chunk-guessed-from-the-rows-before",
        "coord/codec/snapshot.py",
        "if weight > _MAX_ROW_WEIGHT or (group and (room < 0 or name != group[0])):",
        "if group and name != group[0]:",
        "tests/unit/codec/test_snapshot_sizes.py",
    ),
    mutant(
        "equal-values-restored-one-by-one",
        "coord/core/snapshot.py",
        "state.replies.load(of_table, sharing.decode_kept_reply)",
        "state.replies.load(of_table)",
        "tests/unit/codec/test_snapshot_sizes.py",
    ),
)
