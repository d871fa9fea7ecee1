"""docs/limits.md shows the limits there are, and a time for each request that was measured."""

from __future__ import annotations

from pathlib import Path

from bench.bounds.cases import CASES
from bench.bounds.page import with_limits
from coord.core.base.limits import LIMITS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "limits.md"


def test_the_table_of_limits_is_up_to_date() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert with_limits(current) == current, "run .venv/bin/python -m bench.bounds"
    assert f"| `max_txn_rows` | {LIMITS.max_txn_rows:,} |" in current


def test_every_measured_request_is_in_the_table_of_times() -> None:
    current = PAGE.read_text(encoding="utf-8")
    for case in CASES:
        assert f"| {case.name} |" in current, "run .venv/bin/python -m bench.bounds"
