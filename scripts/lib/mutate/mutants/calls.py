"""Bugs on the way of a call: codec, node services, client."""

from __future__ import annotations

from typing import Final

from scripts.lib.mutate.mutant import Mutant, mutant

_PROPOSER: Final = "tests/unit/runtime/test_proposer.py"
_WAITING: Final = "tests/unit/runtime/test_watches.py"
_RETRY: Final = "tests/unit/client/test_retry.py"
_FORWARDING: Final = "tests/unit/rpc/test_forwarding.py"

MUTANTS: Final[tuple[Mutant, ...]] = (
    mutant(
        "retry-at-once-not-told-from-the-default",
        "coord/codec/tasks.py",
        'm.retry_after_ms if m.HasField("retry_after_ms") else None',
        "m.retry_after_ms or None",
        "tests/unit/codec/test_commands.py",
    ),
    mutant(
        "unknown-outcome-shown-as-definite",
        "coord/runtime/errors.py",
        "ServiceReason.OUTCOME_UNKNOWN, message, definite=False",
        "ServiceReason.OUTCOME_UNKNOWN, message, definite=True",
        "tests/unit/rpc/test_status.py",
    ),
    mutant(
        "given-up-proposal-told-as-definite",
        "coord/runtime/proposer.py",
        'OutcomeUnknownError("the proposal was given up")',
        "BusyError(0)",
        _PROPOSER,
    ),
    mutant(
        "replies-in-the-wrong-order",
        "coord/runtime/proposer.py",
        "zip(requests, applied.replies, strict=True)",
        "zip(requests, applied.replies[::-1], strict=True)",
        _PROPOSER,
    ),
    mutant(
        "proposed-after-its-deadline",
        "coord/runtime/proposer.py",
        "if pending.expires_at <= now:",
        "if False:",
        _PROPOSER,
    ),
    mutant(
        "forwarded-write-repeated-after-lost-contact",
        "coord/rpc/forwarding.py",
        "    if method.writes:\n",
        "    if not method.writes:\n",
        _FORWARDING,
    ),
    mutant(
        "forwarded-failure-told-as-definite",
        "coord/rpc/forwarding.py",
        "definite=not method.writes",
        "definite=True",
        _FORWARDING,
    ),
    mutant(
        "cluster-time-passes-without-a-leader",
        "coord/runtime/cluster_clock.py",
        "if not self._running:\n            return",
        "if not self._base_ns:\n            return",
        "tests/unit/runtime/test_cluster_clock.py",
    ),
    mutant(
        "level-raised-beside-an-older-member",
        "coord/runtime/level_keeper.py",
        "        if missing:\n",
        "        if False:\n",
        "tests/integration/test_node_levels.py",
    ),
    mutant(
        "one-task-wakes-every-claim",
        "coord/runtime/claim_queue.py",
        "return self._ready_count(queue) - self._let_through.get(queue, 0)",
        "return self._ready_count(queue)",
        _WAITING,
    ),
    mutant(
        "slots-filled-twice",
        "coord/rpc/streams/credit.py",
        "self._open_slots += self._claims.pop(sequence) - tasks",
        "self._open_slots += self._claims.pop(sequence)",
        "tests/unit/rpc/test_work_credit.py",
    ),
    mutant(
        "lost-task-not-told-to-its-worker",
        "coord/runtime/lease_watch.py",
        "(task.token == fencing_token and task.lease is not None)",
        "task.token == fencing_token",
        "tests/unit/runtime/test_lease_watch.py",
    ),
    mutant(
        "unprotected-write-repeated-by-the-client",
        "coord/client/transport/retry.py",
        "if not (self._repeatable and error.retryable):",
        "if not error.retryable:",
        _RETRY,
    ),
    mutant(
        "client-tells-an-unknown-outcome-as-definite",
        "coord/client/transport/retry.py",
        'message = f"no answer {within}; last: {self._last}"',
        'raise UnavailableError("no answer", "UNREACHABLE", None, True)',
        _RETRY,
    ),
    mutant(
        "client-acknowledges-what-is-under-way",
        "coord/client/session.py",
        "return next(iter(self._held), self._next_sequence)",
        "return self._next_sequence",
        "tests/unit/client/test_session.py",
    ),
    mutant(
        "sent-request-told-as-never-sent",
        "coord/client/transport/pending.py",
        "(unsent if number in self.queue else sent).copy()",
        "unsent.copy()",
        "tests/unit/client/test_pending.py",
    ),
)
