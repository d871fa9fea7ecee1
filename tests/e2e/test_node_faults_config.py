"""`coord serve` with settings that cannot be: one line that names the field, no traceback, and
nothing is started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from coord.localcluster.launch import node_environment
from tests.support.faults import complaint

pytestmark = pytest.mark.integration
USAGE, CANNOT_START = 2, 1
AT_ONCE = 3  # processes


@dataclass(frozen=True)
class Wrong:
    """Arguments of `coord serve`, environment and file; what the complaint must hold."""

    words: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    file: str = ""
    code: int = USAGE


DATA = ("--data-dir", "data")
CASES = {
    "no data directory": Wrong(("data_dir", "missing")),
    "bad name": Wrong(("node_id", "'a b'", "1 to 64"), (*DATA, "--node-id", "a b")),
    "bad port": Wrong(("listen", "host:port, port 1 to 65535"), (*DATA, "--listen", "h:99999")),
    "not a member": Wrong(("node_id", "n2"), (*DATA, "--member", "n2=h:1,h:2")),
    "half a member": Wrong(("members", "peer_address"), (*DATA, "--member", "n1")),
    "shared address": Wrong(
        ("members", "more than once"),
        (*DATA, "--member", "n1=h:1,h:2", "--member", "n2=h:1,h:3"),
    ),
    "members in memory": Wrong(
        ("in_memory", "one node"),
        ("--in-memory", "--member", "n1=h:1,h:2", "--member", "n2=h:3,h:4"),
    ),
    "heartbeat too slow": Wrong(
        ("heartbeat_interval_ms", "a third of election_timeout_ms"),
        (*DATA, "--set", "heartbeat_interval_ms=300"),
    ),
    "environment": Wrong(
        ("election_timeout_ms", "'soon'", "60 to 60000"),
        DATA,
        {"COORD_ELECTION_TIMEOUT_MS": "soon"},
    ),
    "misspelt in the file": Wrong(
        ("wrong.toml", "elction_timeout_ms", "election_timeout_ms"),
        DATA,
        file="elction_timeout_ms=1",
    ),
    "not a file of settings": Wrong(("wrong.toml", "is not TOML"), DATA, file="node_id = "),
    "two mistakes": Wrong(
        ("pipeline", "log_level"), (*DATA, "--set", "pipeline=0", "--log-level", "loud")
    ),
    "data directory is a file": Wrong(
        ("data directory", "wrong.toml", "cannot be used"),
        ("--data-dir", "wrong.toml"),
        file="pipeline = 3",
        code=CANNOT_START,
    ),
    "unusable address": Wrong(
        ("cannot start", "192.0.2.1"),
        (*DATA, "--listen", "192.0.2.1:7400", "--peer-listen", "127.0.0.1:1"),
        code=CANNOT_START,
    ),
}


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], tuple[int, str, str]]]:
    """Exit code, output and error output of a case; all are started ahead, a few at a time."""
    started: dict[str, subprocess.Popen[str]] = {}
    waiting = list(CASES)

    def start(name: str) -> None:
        case, folder = CASES[name], tmp_path_factory.mktemp("config")
        arguments = list(case.arguments)
        if case.file:
            (folder / "wrong.toml").write_text(case.file)
            arguments += ["--config", "wrong.toml"]
        started[name] = subprocess.Popen(
            [sys.executable, "-m", "coord.cli", "serve", *arguments],
            cwd=folder,
            env=node_environment({"PATH": "/usr/bin:/bin"}) | case.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(name: str) -> tuple[int, str, str]:
        while waiting and (name in waiting or len(started) < AT_ONCE):
            start(waiting.pop(0))
        process = started.pop(name)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    yield result
    for process in started.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", CASES)
def test_wrong_settings_are_named(run: Callable[[str], tuple[int, str, str]], name: str) -> None:
    case = CASES[name]
    code, out, err = run(name)
    line = complaint(code, err, out, expected_code=case.code)
    assert line.startswith(("error: ", "coord: "))
    for word in case.words:
        assert word in line, line
    assert "node.serving" not in out
