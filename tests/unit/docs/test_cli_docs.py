"""docs/cli.md describes the commands there are."""

from __future__ import annotations

from scripts.lib.gen_cli_docs import HEADING, PAGE, page


def test_the_reference_is_up_to_date() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert page(current) == current, "run scripts/lib/gen_cli_docs.py"


def test_a_change_would_be_seen() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert HEADING in current
    assert page(current.replace("### `coord task submit`", "### `coord task enqueue`")) == current
