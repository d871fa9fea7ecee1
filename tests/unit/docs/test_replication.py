"""docs/replication.md names tests: they have to be there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "replication.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 40
    for path, name in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not name or re.search(rf"def {name}\(", source), f"{path}::{name}"


def test_every_defect_has_its_row() -> None:
    rows = re.findall(r"^\| ([ABC]\d) ", TEXT, re.MULTILINE)
    assert rows == [
        *(f"A{n}" for n in range(1, 8)),
        *(f"{c}{n}" for c in "BC" for n in range(1, 6)),
    ]
