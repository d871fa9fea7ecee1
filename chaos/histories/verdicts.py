"""Verdicts: True, False, or "unknown" when there was too little to judge by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Verdict = Literal[True, False, "unknown"]

EXIT_CODE: dict[Verdict, int] = {True: 0, False: 1, "unknown": 2}
VERDICT_WORD: dict[Verdict, str] = {True: "valid", False: "INVALID", "unknown": "unknown"}
VERDICT_STYLE: dict[Verdict, str] = {True: "green", False: "bold red", "unknown": "yellow"}
STYLES = {VERDICT_WORD[verdict]: style for verdict, style in VERDICT_STYLE.items()}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """False if any is; else "unknown" if any is; True of nothing."""
    found = set(verdicts)
    if False in found:
        return False
    return "unknown" if "unknown" in found else True


def word(valid: Verdict) -> str:
    """The verdict for people."""
    return VERDICT_WORD[valid]
