"""Registers are linearizable; see `linearizable` for what that verifies and what it does not."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.checkers.linearizable import Bounds, check
from chaos.checkers.models import Model
from chaos.checkers.result import CheckBounds, Checker, CheckResult, show
from chaos.histories.history import HistoryEvent, calls, operations


def linearizable_as(model: Model) -> Checker:
    """A checker of histories of that model."""

    def checker(events: Sequence[HistoryEvent], bounds: CheckBounds) -> CheckResult:
        verdict = check(operations(events), model, Bounds(max_seconds=bounds.max_seconds))
        anomalies = [f"key {k.key}: {k.reason}" for k in verdict.keys if k.valid is not True]
        bad = next((key for key in verdict.keys if key.valid is False), None)
        wanted = {operation.id for operation in bad.excerpt} if bad else set()
        excerpt = sorted(
            (show(call) for call in calls(events) if call.invoke.i in wanted),
            key=lambda shown: shown.from_ns,
        )
        facts = {
            "keys": len(verdict.keys),
            "states_visited": sum(key.states_visited for key in verdict.keys),
        }
        return CheckResult(verdict.valid, tuple(anomalies), facts, tuple(excerpt))

    return checker
