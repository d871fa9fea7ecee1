"""`chaos sim`: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from chaos.cli import app, main
from chaos.histories.history import read_history


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["sim", "--jobs", "1", *words])


def test_clean_seeds(tmp_path: Path) -> None:
    account = tmp_path / "account.json"
    ended = run("--seeds", "0:2", "--profile", "links", "--json", str(account))
    assert ended.exit_code == 0, ended.output
    assert "2 seeds" in ended.output
    assert "0 failing" in ended.output
    told = json.loads(account.read_text())
    assert told["valid"] is True
    assert told["seeds"] == 2
    assert told["failing"] == []
    assert told["acknowledged"] > 100
    assert len(told["history_sha256"]) == 64


def test_a_failing_seed_prints_the_line_that_replays_it(tmp_path: Path) -> None:
    account = tmp_path / "account.json"
    words = ("--engine", "stock", "--profile", "only-votes")
    ended = run("--seeds", "0:1", *words, "--json", str(account))
    assert ended.exit_code == 1
    line = "chaos sim --seeds 0:1 --nodes 3 --engine stock --profile only-votes"
    assert line in ended.output
    told = json.loads(account.read_text())
    assert told["valid"] is False
    assert told["failing"][0]["replay"] == line
    assert CliRunner().invoke(app, [*line.split()[1:], "--jobs", "1"]).exit_code == 1


def test_a_failing_seed_can_be_shortened() -> None:
    ended = run("--seeds", "0:1", "--engine", "stock", "--profile", "only-votes", "--shrink")
    assert ended.exit_code == 1
    assert "--keep none" in ended.output  # it needs no fault at all
    assert "0 of" in ended.output


def test_the_history_is_one(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert run("--seeds", "1:2", "--profile", "links", "--history", str(path)).exit_code == 0
    events = read_history(path)
    assert {event.f for event in events} >= {"read", "write", "cas", "submit", "claim", "acquire"}
    assert any(event.process == "nemesis" for event in events)
    kept = tmp_path / "kept.jsonl"
    assert (
        run("--seeds", "1:2", "--profile", "links", "--keep", "0", "--history", str(kept)).exit_code
        == 0
    )
    assert sum(event.process == "nemesis" for event in read_history(kept)) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--seeds", "5"], "A:B"),
        (["--seeds", "x:y"], "A:B"),
        (["--seeds", "5:5"], "no seed"),
        (["--engine", "other"], "hardened, stock"),
        (["--profile", "other"], "everything"),
        (["--nodes", "2"], "3 to 7"),
        (["--seeds", "0:2", "--keep", "1"], "one seed"),
        (["--seeds", "0:1", "--keep", "9999"], "faults 0 to"),
        (["--seeds", "0:1", "--keep", "a"], "numbers"),
        (["--seeds", "0:2", "--history", "x"], "one seed"),
    ],
)
def test_bad_usage(
    words: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["chaos", "sim", "--jobs", "1", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
