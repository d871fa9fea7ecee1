"""The commands of scripts/cluster, with stand-in nodes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coord.localcluster import LocalCluster, __main__, free_base_port, launch
from tests.support import fake_node

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    directory = tmp_path / "c"
    monkeypatch.setattr(
        launch, "node_command", lambda config: [sys.executable, fake_node.__file__, str(config)]
    )

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cluster", *arguments, "--dir", str(directory)])
        code = 0
        try:
            __main__.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    yield call
    LocalCluster(directory).down(grace_ms=0)


def test_a_clusters_life(run: Run) -> None:
    port = free_base_port(2)
    code, out, _ = run("up", "--nodes", "2", "--base-port", str(port))
    assert code == 0
    assert out.splitlines()[0].startswith("started n1, n2; a leader serves after ")
    endpoints = f"127.0.0.1:{port},127.0.0.1:{port + 1}"
    assert out.splitlines()[1] == f"export COORD_ENDPOINTS={endpoints}"
    assert run("endpoints") == (0, endpoints + "\n", "")
    assert run("up")[1].startswith("already up\n")
    assert run("kill", "n2") == (0, "killed n2\n", "")
    rows = [line.split() for line in run("status")[1].splitlines()]
    assert rows[0][:3] == ["NODE", "STATE", "ROLE"]
    assert [row[:3] for row in rows[1:]] == [["n1", "running", "leader"], ["n2", "down", "-"]]
    assert run("start") == (0, "started n2\n", "")
    assert run("start") == (0, "already running\n", "")
    assert run("pause", "n1") == (0, "paused n1\n", "")
    assert run("resume", "n1") == (0, "resumed n1\n", "")
    assert run("restart") == (0, "restarted all nodes\n", "")
    assert run("stop", "n1") == (0, "stopped n1\n", "")
    assert run("logs", "n1", "-n", "1") == (0, "n1 serves\n", "")
    assert run("logs")[1].splitlines()[-1] == "n2: n2 serves"
    assert run("down") == (0, "stopped n2\n", "")
    assert run("down") == (0, "nothing was running\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["status"], 1, "error: there is no cluster in "),
        (["kill", "n1"], 1, "error: there is no cluster in "),
        (["up", "--nodes", "0"], 2, "from 1 to 9, not '0'"),
        (["up", "--nodes", "x"], 2, "--nodes"),
        (["kill"], 2, "NODE"),
        (["explode"], 2, "explode"),
        (["logs", "-n", "0"], 2, "--lines"),
    ],
)
def test_mistakes_are_explained(run: Run, arguments: list[str], code: int, words: str) -> None:
    found = run(*arguments)
    assert found[0] == code
    assert words in found[2]
    assert found[2].startswith("error: ")
    assert found[2].count("\n") == 1


def test_a_directory_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(sys, "argv", ["cluster", "up", "--dir", str(tmp_path / "file" / "c")])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/file")


def test_the_default_directory_follows_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    from coord.localcluster.cluster import default_directory

    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_directory() == Path("/state/coord/cluster")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert default_directory() == Path("/home/x/.local/state/coord/cluster")
