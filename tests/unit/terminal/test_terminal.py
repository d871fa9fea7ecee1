"""What all commands share at a terminal: tables that fit, numbers, words."""

from __future__ import annotations

import errno
import io
from typing import Annotated, Any

import pytest
import typer
from rich.console import Console

from coord.terminal import entry
from coord.terminal.layout import Column, Lines, Printer
from coord.terminal.options import decimal, whole
from coord.terminal.text import counted, gist, os_reason

COLUMNS = (
    "task",
    Column("queue", wraps=True),
    Column("priority", rank=3),
    Column("worker", rank=2, wraps=True),
    Column("last error", rank=1, wraps=True),
)
ROW = ("t1", "mail", 0, "host-1.example.org:4711", "ValueError: no such address")


def shown(width: int | None, *rows: tuple[Any, ...], columns: Any = COLUMNS) -> list[str]:
    printer = Printer(width=width)
    text = io.StringIO()
    printer.console = Console(file=text, width=width or 80, highlight=False)
    printer.table(columns, rows, "no tasks")
    return text.getvalue().splitlines()


def test_a_table_that_fits_is_as_wide_as_what_is_in_it() -> None:
    head, row = shown(100, ROW)
    assert head.split("  ")[0] == "TASK"
    assert row.split() == [word for cell in ROW for word in str(cell).split()]
    assert len(row) == len(head) - len("LAST ERROR") + len(ROW[-1])


def test_a_narrow_terminal_wraps_first() -> None:
    lines = shown(64, ROW)
    assert max(map(len, lines)) <= 64
    assert lines[0].split() == ["TASK", "QUEUE", "PRIORITY", "WORKER", "LAST", "ERROR"]
    assert len(lines) > 2
    assert "not shown" not in lines[-1]


def test_a_narrower_one_leaves_out_what_matters_least_and_says_so() -> None:
    lines = shown(48, ROW)
    assert max(map(len, lines[:-1])) <= 48
    assert lines[0].split() == ["TASK", "QUEUE", "WORKER", "LAST", "ERROR"]
    assert lines[-1] == "(not shown in 48 columns: priority; -o json has all)"


def test_a_very_narrow_one_still_shows_what_must_be() -> None:
    lines = shown(12, ROW)
    assert lines[0].split() == ["TASK", "QUEUE"]
    assert "mail" in lines[1]


def test_words_of_headings_are_never_broken() -> None:
    for width in range(20, 120):
        heading = shown(width, ROW)[0].split()
        names = " ".join(str(getattr(c, "name", c)) for c in COLUMNS).upper().split()
        assert set(heading) <= set(names), width


def test_a_pipe_gets_everything_on_one_line_each() -> None:
    lines = shown(None, ROW, ("t2", "q" * 3_000, 1, "", ""))
    assert len(lines) == 3
    assert "q" * 3_000 in lines[2]
    assert len(lines[1]) < 200


def test_no_rows_are_said_in_words() -> None:
    assert shown(80) == ["no tasks"]
    assert shown(None) == ["no tasks"]


def test_wide_characters_count_as_two(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(None, ("日本", "x"), ("abcd", "y"), columns=("a", "b"))
    assert lines[1:] == ["日本  x", "abcd  y"]


def test_several_lines_stay_several_and_control_characters_do_not() -> None:
    text = io.StringIO()
    printer = Printer(width=None)
    printer.console = Console(file=text)
    printer.width = None
    printer.facts({"error": Lines("Boom\n\tat \x1b[2Jline 1\n"), "empty": "", "n": 0})
    assert text.getvalue() == "error  Boom\n           at \\x1b[2Jline 1\nn      0\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("ValueError: boom", "ValueError: boom"),
        ("ValueError: boom\n  File x", "ValueError: boom"),
        (
            "Traceback (most recent call last):\n  File x\n    raise\nKeyError: 'k'\n",
            "KeyError: 'k'",
        ),
        ("\n\n  spaced  \nmore", "spaced"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("", ""),
    ],
)
def test_the_gist_of_an_error_is_what_was_raised(error: str, line: str) -> None:
    assert gist(error) == line


def test_plurals() -> None:
    assert [counted(n, "task") for n in (0, 1, 2, 3_000)] == [
        "0 tasks",
        "1 task",
        "2 tasks",
        "3,000 tasks",
    ]
    assert counted(2, "entry", "entries") == "2 entries"


def test_system_errors_are_told_without_their_number() -> None:
    assert (
        os_reason(OSError(errno.EADDRINUSE, "Address already in use")) == "address already in use"
    )
    assert os_reason(OSError("[Errno 98] Address already in use")) == "address already in use"
    assert os_reason(OSError(errno.ENOENT, "No such file", "/x")) == "/x: no such file"


def numbers() -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def show(
        count: Annotated[int, whole("--count", low=-2, high=10, help="How many.")] = 3,
        share: Annotated[float, decimal("--share", low=0, high=1, help="How much.")] = 0.5,
    ) -> None:
        typer.echo(f"{count!r} {share!r}")

    return app


@pytest.mark.parametrize("text", ["-3", "11", "x", "", "1.5", "9" * 5_000, "٣x"])
def test_numbers_out_of_bounds_are_refused_with_the_bounds(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["x", f"--count={text}", "--share", "0"])
    with pytest.raises(entry.WrongUsageError, match="a whole number from -2 to 10, not"):
        entry.run_app(numbers(), "x")


@pytest.mark.parametrize("text", ["nan", "inf", "-0.1", "1.01", "x"])
def test_fractions_too(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--count", "1", f"--share={text}"])
    with pytest.raises(entry.WrongUsageError, match="a number from 0 to 1, not"):
        entry.run_app(numbers(), "x")


@pytest.mark.parametrize(("count", "share"), [("-2", "0"), ("10", "1"), ("0", "0.25")])
def test_numbers_at_their_bounds_are_taken(
    count: str, share: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--count", count, "--share", share])
    assert entry.run_app(numbers(), "x") == 0
    assert capsys.readouterr().out == f"{int(count)!r} {float(share)!r}\n"


def test_help_of_numbers_shows_a_plain_metavar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--help"])
    assert entry.run_app(numbers(), "x") == 0
    help_text = capsys.readouterr().out
    assert "--count N" in help_text
    assert "range" not in help_text
    assert "x<=" not in help_text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nope"], "no such option: --nope"),
        (["--count"], "option '--count' requires an argument"),
        (["surplus"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["x", *arguments])
    with pytest.raises(entry.WrongUsageError) as caught:
        entry.run_app(numbers(), "x")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
