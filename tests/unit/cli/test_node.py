"""`coord serve` and `coord dev`: what reaches the node, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coord.node.config import ConfigError, ServerConfig
from tests.support.cli import Cli


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServerConfig]:
    found: list[ServerConfig] = []

    def run(config: ServerConfig) -> int:
        found.append(config)
        return 5

    monkeypatch.setattr("coord.node.serve.run", run)
    return found


def test_flags_win_over_the_file(cli: Cli, served: list[ServerConfig], tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('cluster_id = "c"\nnode_id = "n9"\nlog_level = "error"\n')
    result = cli(
        *("serve", "--config", str(tmp_path / "node.toml"), "--data-dir", str(tmp_path / "d")),
        *("--node-id", "n2", "--member", "n1=h:1,h:2", "--member", "n2=h:3,h:4"),
        *("--set", "election_timeout_ms=800"),
    )
    assert (result.code, result.err) == (5, "")
    (config,) = served
    assert (config.cluster_id, config.node_id, config.log_level) == ("c", "n2", "error")
    assert [m.client_address for m in config.members] == ["h:2", "h:4"]
    assert (config.election_timeout_ms, config.data_dir) == (800, tmp_path / "d")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "data_dir"),
        (["--data-dir", "d", "--set", "elction_timeout_ms=1"], "election_timeout_ms"),
        (["--data-dir", "d", "--set", "election_timeout_ms=soon"], "election_timeout_ms"),
        (["--data-dir", "d", "--set", "nonsense"], "--set must be KEY=VALUE"),
        (["--data-dir", "d", "--member", "n1"], "peer_address"),
        (["--config", "/no/such/file"], "/no/such/file"),
    ],
)
def test_mistakes_are_named_in_one_line(
    cli: Cli, served: list[ServerConfig], arguments: list[str], words: str
) -> None:
    result = cli("serve", *arguments)
    assert result.code == 2
    assert words in result.err
    assert result.err.count("\n") == 1
    assert served == []


def test_dev(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def run(data_dir: Path | None, **options: Any) -> int:
        calls.append((data_dir, options))
        if options["base_port"] == 65_535:
            raise ConfigError(["base_port: found 65535"])
        return 0

    monkeypatch.setattr("coord.node.dev.run", run)
    assert cli("dev").code == 0
    assert cli("dev", "--nodes", "1", "--base-port", "65535").code == 2
    assert cli("dev", "--nodes", "10").code == 2
    assert calls[0] == (None, {"base_port": None, "nodes": None, "log_level": "info"})
