"""Leases: ended by release, by their own time, by their session's; and shortened ones."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.checkers.lease import check_leases
from chaos.checkers.result import CheckBounds
from chaos.histories.history import CLOCK_AHEAD, NEMESIS, HistoryEvent
from tests.support.chaos_histories import history

MS = 1_000_000


def opened(at_ms: int, session: int, ttl_ms: int = 1_000) -> Any:
    asked = {"ttl_ms": ttl_ms}
    return (at_ms * MS, (at_ms + 2) * MS, "open", None, asked, "ok", {**asked, "session": session})


def acquired(at_ms: int, token: int, session: int, ttl_ms: int = 0) -> Any:
    found = {"token": token, "session": session, "ttl_ms": ttl_ms}
    return (at_ms * MS, (at_ms + 2) * MS, "acquire", "l", {"ttl_ms": ttl_ms}, "ok", found)


def released(at_ms: int, token: int, outcome: str = "ok") -> Any:
    return (at_ms * MS, (at_ms + 2) * MS, "release", "l", {"token": token}, outcome, None)


@pytest.mark.parametrize(
    ("made", "valid"),
    [
        ([opened(0, 1), acquired(10, 5, 1), acquired(1_000, 6, 2)], True),
        ([opened(0, 1), acquired(10, 5, 1), acquired(900, 6, 2)], False),
        ([opened(0, 1), acquired(10, 5, 1, 400), acquired(415, 6, 2)], True),
        ([opened(0, 1), acquired(10, 5, 1, 400), acquired(350, 6, 2)], False),
        ([acquired(10, 5, 1, 400), acquired(350, 6, 2)], False),
        ([opened(0, 1, 200), acquired(10, 5, 1, 400), acquired(350, 6, 2)], True),
        ([opened(0, 1), acquired(10, 5, 1), released(50, 5), acquired(60, 6, 2)], "unknown"),
        (
            [opened(0, 1), acquired(10, 5, 1), released(50, 5, "info"), acquired(51, 6, 2)],
            "unknown",
        ),
        ([opened(0, 1), acquired(10, 5, 1), acquired(60, 6, 2), released(70, 5)], False),
        ([opened(0, 1), acquired(10, 5, 1)], "unknown"),
    ],
)
def test_leases_last_their_time(made: list[Any], valid: bool | str) -> None:
    result = check_leases(history(*made), CheckBounds())
    assert result.valid == valid, result.anomalies
    assert bool(result.excerpt) is (valid is False)


def test_a_clock_that_ran_ahead_shortens_leases_by_as_much() -> None:
    made = history(opened(0, 1), acquired(10, 5, 1), acquired(700, 6, 2))
    for ahead_ms, valid in ((200, False), (400, True)):
        told = HistoryEvent(99, NEMESIS, "info", CLOCK_AHEAD, None, ahead_ms, 0)
        assert check_leases([*made, told], CheckBounds()).valid is valid
