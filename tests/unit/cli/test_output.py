"""What reaches the terminal, and how arguments are read."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import pytest

from coord.cli.exits import USAGE, CommandError
from coord.cli.output import (
    Format,
    Output,
    as_text,
    bytes_cell,
    bytes_json,
    duration,
    pairs,
    printable,
    read_value,
)


def test_utf8_is_text_and_the_rest_base64() -> None:
    assert as_text("grün".encode()) == ("grün", "text")
    text, encoding = as_text(b"\xff\x00")
    assert (base64.b64decode(text), encoding) == (b"\xff\x00", "base64")
    assert bytes_json("payload", b"x") == {"payload": "x", "payload_encoding": "text"}
    assert bytes_cell(b"\xff").startswith("base64:")


def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2J\r\x07\u202e\n\ud800"
    out = Output(Format.TABLE)
    out.table(("x",), [(evil,)])
    out.facts({"x": evil})
    out.line(evil)
    shown = capsys.readouterr().out
    assert not set("\x1b\r\x07\u202e\ud800") & set(shown)
    assert shown.count(r"a\x1b[2J\r\x07\u202e\n\ud800") == 3
    assert printable("grün 日本") == "grün 日本"


def test_markup_in_data_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Format.TABLE).table(("x",), [("[red]a[/red] :smile:",)])
    assert "[red]a[/red] :smile:" in capsys.readouterr().out


def test_away_from_a_terminal_nothing_is_folded_or_coloured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output(Format.TABLE).table(("state", *"abcdefgh"), [("dead", *["y" * 55] * 8)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "\x1b" not in lines[1]
    assert lines[1].count("y" * 55) == 8


def test_nothing_is_cut_or_padded_without_end_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = Output(Format.TABLE)
    out.table(("x", "y"), [("y" * 5_000, "end"), ("short", "end")])
    out.facts({"x": "z" * 5_000})
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "y" * 5_000 + "  end"
    assert lines[2] == "short".ljust(60) + "  end"
    assert lines[3].endswith("z" * 5_000)


def test_values_come_from_text_files_and_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"\x00\xff")
    assert read_value("grün") == "grün".encode()
    assert read_value("") == b""
    assert read_value(f"@{tmp_path}/f") == b"\x00\xff"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped\xfe")))
    assert read_value("-") == b"piped\xfe"


@pytest.mark.parametrize("name", ["no-such-file", ""])
def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match="cannot read") as caught:
        read_value(f"@{tmp_path}/{name}")
    assert caught.value.code == USAGE


def test_pairs() -> None:
    assert pairs(["a=1", "b=x=y", "c="], "--label") == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1", ""):
        with pytest.raises(CommandError, match="--label must be KEY=VALUE"):
            pairs([wrong], "--label")


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (3_250, "3.2 s"),
        (250_000, "4 min 10 s"),
        (11_100_000, "3 h 5 min"),
        (187_200_000, "2 d 4 h"),
    ],
)
def test_durations(milliseconds: int, expected: str) -> None:
    assert duration(milliseconds) == expected
