"""`chaos check` from the outside: verdicts, exit codes, one clear line for bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chaos.cli import app


def write_history(path: Path, *lines: tuple[int, str, str, Any]) -> Path:
    path.write_text(
        "".join(
            json.dumps({"i": i, "process": p, "type": t, "f": f, "key": "k", "value": v, "t": i})
            + "\n"
            for i, (p, t, f, v) in enumerate(lines)
        ),
        encoding="utf-8",
    )
    return path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["check", *arguments])


def test_a_valid_history_exits_0(tmp_path: Path) -> None:
    path = write_history(tmp_path / "h", (0, "invoke", "write", 1), (0, "ok", "write", 1))
    result = run(str(path), "--model", "register")
    assert (result.exit_code, "verdict: valid" in result.output) == (0, True)


def test_an_invalid_history_exits_1_and_shows_where(tmp_path: Path) -> None:
    path = write_history(tmp_path / "h", (0, "invoke", "read", None), (0, "ok", "read", 7))
    result = run(str(path), "--model", "cas-register")
    assert result.exit_code == 1
    assert "read -> 7" in result.output


@pytest.mark.parametrize(
    ("content", "model", "complaint"),
    [
        ("{", "register", "line 1: not JSON"),
        ("", "nonsense", "unknown model"),
        (
            '{"process":1,"type":"invoke","f":"jump","t":1}\n{"process":1,"type":"ok","f":"jump","t":2}',
            "register",
            "no operation",
        ),
        (
            '{"process":1,"type":"invoke","f":"cas","t":1,"value":3}\n{"process":1,"type":"ok","f":"cas","t":2}',
            "register",
            "cas takes",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    tmp_path: Path, content: str, model: str, complaint: str
) -> None:
    path = tmp_path / "h"
    path.write_text(content, encoding="utf-8")
    result = run(str(path), "--model", model)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_missing_file_is_one_line_and_exit_2(tmp_path: Path) -> None:
    result = run(str(tmp_path / "none"), "--model", "register")
    assert result.exit_code == 2
    assert "cannot read" in result.stderr
