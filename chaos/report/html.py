"""The report of a run as one self-contained HTML file."""

from __future__ import annotations

from html import escape
from pathlib import Path

from chaos.judge import Judgement
from chaos.runner import RunRecord
from chaos.verdicts import word


def write_report(path: Path, record: RunRecord, judgement: Judgement, replay: str) -> None:
    """Write the report to `path`."""
    path.write_text(f"<title>{word(judgement.valid)}</title>{escape(replay)}", encoding="utf-8")
