"""Writes the table of settings at the end of docs/configuration.md from the settings themselves.

With --verify it only says whether the file is up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from coord.node.config import ServerConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
HEADING = "## Settings\n"
UNITS = {"_ms": "milliseconds", "_bytes": "bytes"}


def page(current: str) -> str:
    """The page with its table as it should be."""
    written = current.partition(HEADING)[0].rstrip("\n")
    rows = [_row(name, field) for name, field in ServerConfig.model_fields.items()]
    head = ["| setting | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    return f"{written}\n\n{HEADING}\n" + "\n".join([*head, *rows]) + "\n"


def meaning_of(field: Any) -> str:
    """What a setting is for; empty if its declaration does not say."""
    extra = field.json_schema_extra
    return str(extra.get("meaning", "")) if isinstance(extra, dict) else ""


def _row(name: str, field: Any) -> str:
    cells = [f"`{name}`", _default(name, field.default), _allowed(name, field), meaning_of(field)]
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def _default(name: str, value: Any) -> str:
    if value in {None, ""} or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int):
        return f"{value:,}{_in_words(name, value)}"
    return f"`{value}`"


def _in_words(name: str, value: int) -> str:
    if not name.endswith("_bytes"):
        return ""
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size and value % size == 0:
            return f" ({value // size} {unit})"
    return ""


def _allowed(name: str, field: Any) -> str:
    bounds = {type(one).__name__: one for one in field.metadata}
    if "Ge" not in bounds or "Le" not in bounds:
        return str(field.description or "")
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    return f"{bounds['Ge'].ge:,} to {bounds['Le'].le:,} {unit}".strip()


def main() -> int:
    current = PAGE.read_text(encoding="utf-8")
    wanted = page(current)
    if "--verify" in sys.argv[1:]:
        if current != wanted:
            sys.stderr.write("docs/configuration.md is out of date; run scripts/gen_docs\n")
        return int(current != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
