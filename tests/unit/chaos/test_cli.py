"""`chaos check` from the outside: verdicts, exit codes, one clear line for bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chaos import cli
from chaos.cli import app
from chaos.commands.run import replay_line
from chaos.histories.history import HistoryEvent
from chaos.run.runner import RunOptions
from chaos.workloads.base import WorkloadOptions


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


def write_mixed(path: Path) -> Path:
    """A write of a register and an element of a set, and a fault."""
    events = [
        HistoryEvent(0, 0, "invoke", "write", "k", 1, 0, "register"),
        HistoryEvent(1, 1, "invoke", "add", "s", 5, 1, "set"),
        HistoryEvent(2, "nemesis", "invoke", "kill", None, "n1", 2),
        HistoryEvent(3, 0, "ok", "write", "k", 1, 3, "register"),
        HistoryEvent(4, 1, "ok", "add", "s", 5, 4, "set"),
        HistoryEvent(5, 1, "invoke", "read-set", "s", None, 5, "set"),
        HistoryEvent(6, 1, "ok", "read-set", "s", [], 6, "set"),
    ]
    path.write_text("".join(event.to_json() + "\n" for event in events), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "register"], 0, "verdict: valid"),
        (["--model", "set"], 1, "lacks [5]"),
        (["--model", "set", "--workload", "set"], 1, "lacks [5]"),
        (["--model", "queue"], 2, "no workload of model queue; it has: register, set"),
        (["--model", "set", "--workload", "bank"], 2, "no workload 'bank'"),
        (["--model", "set", "--workload", "register"], 2, "verdict: unknown"),
        (["--model", "bank", "--workload", "set"], 2, "verdict: unknown"),
    ],
)
def test_workloads_that_share_a_history_are_told_apart(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    result = run(str(write_mixed(tmp_path / "h")), *arguments)
    assert (result.exit_code, words in result.output + result.stderr) == (code, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--workload", "nonsense"], "no workload 'nonsense'"),
        (["--nemesis", "nonsense"], "no nemesis 'nonsense'"),
        (["--nemesis", "kill:nonsense"], "kill has no variant"),
        (["--quiet", "5:1"], "--quiet takes MIN:MAX"),
        (["--quiet", "x"], "--quiet takes MIN:MAX"),
        (["--setting", "x"], "--setting takes NAME=VALUE"),
    ],
)
def test_run_refuses_what_it_does_not_know(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    result = CliRunner().invoke(app, ["run", "--out", str(tmp_path / "out"), *arguments])
    assert (result.exit_code, complaint in result.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_replay_line_asks_for_the_same_again(tmp_path: Path) -> None:
    options = RunOptions(
        nodes=5,
        workloads=("set", "bank"),
        nemesis="kill:leader+delay,pause",
        specs=(),
        duration_s=12.5,
        seed=9,
        out=tmp_path,
        workload=WorkloadOptions(rate=90.0),
        quiet_s=(0.0, 1.0),
        settings={"snapshot_entries": 100, "in_memory": False},
        every_s=10.0,
        min_available=0.9,
    )
    assert replay_line(options) == (
        "chaos run --nodes 5 --workload set,bank --nemesis kill:leader+delay,pause "
        "--duration 12.5 --seed 9 --rate 90 --quiet 0:1 --interval 10 --min-available 0.9 "
        "--setting snapshot_entries=100 --setting in_memory=false"
    )


def main_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str, str]:
    """(exit code, standard output, standard error) of the console script."""
    monkeypatch.setattr("sys.argv", ["chaos", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_a_failure_of_the_harness_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object) -> int:
        raise RuntimeError("harness\nmore")

    monkeypatch.setattr(cli, "run_app", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = main_with(monkeypatch, capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "the harness failed: RuntimeError: harness" in err
    (kept,) = tmp_path.iterdir()
    assert str(kept) in err
    assert 'raise RuntimeError("harness\\nmore")' in kept.read_text(encoding="utf-8")


def test_the_command_is_like_the_other_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = main_with(monkeypatch, capsys, "--version")
    assert (code, out.split()[0]) == (0, "chaos")
    for command in ("run", "check", "matrix", "sim", "selftest"):
        code, out, _ = main_with(monkeypatch, capsys, command, "--help")
        assert code == 0
        assert not set("╭│<>") & set(out), "plain, with metavars that say what is meant"
        assert "range" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["run", "--nodes", "8"],
        ["run", "--duration", "nan"],
        ["run", "--min-available", "1.1"],
        ["run", "--workload", "nonsense"],
        ["run", "--nope"],
        ["check"],
        ["check", "/no/such/file", "--model", "register"],
        ["check", "/", "--model", "register"],
        ["matrix", "--nodes", "x"],
        ["matrix", "--jobs", "0"],
        ["sim", "--json", "/no/such/directory/x", "--seeds", "0:1", "--jobs", "1"],
        ["sim", "--seeds", "x"],
        ["selftest", "--seconds", "0"],
    ],
    ids=" ".join,
)
def test_every_mistake_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, _, err = main_with(monkeypatch, capsys, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert "Errno" not in err
