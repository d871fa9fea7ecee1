"""The command line: what is refused, with which exit code, and what reaches the worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner, Result

from agentnode import cli, command
from agentnode.config import WorkerConfig
from agentnode.errors import ClusterUnreachableError, WorkerRefusedError
from agentnode.executors import RegistryRunner
from agentnode.subprocess_runner import ExecRunner
from coord.client.transport.errors import DefiniteError, NoLeaderError
from coord.node import grpc_io

MODULE = "from agentnode import Registry\nregistry = Registry()\nregistry.task('a')(lambda p: p)\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("COORD_ENDPOINTS", raising=False)
    (tmp_path / "handlers_for_cli.py").write_text(MODULE)
    yield tmp_path
    # The command sets up logging for its process, here to a stream that is gone by now.
    structlog.reset_defaults()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, WorkerConfig, str]]:
    calls: list[tuple[Any, WorkerConfig, str]] = []

    async def serve(runner: Any, config: WorkerConfig, endpoints: str, **_: object) -> None:
        calls.append((runner, config, endpoints))

    monkeypatch.setattr(cli, "serve", serve)
    return calls


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), env=env)


def test_run_passes_everything_on(served: list[tuple[Any, WorkerConfig, str]]) -> None:
    result = invoke(
        "run",
        "handlers_for_cli.py",
        *("--queues", "a, b", "--slots", "4", "--label", "zone=1", "--label", "gpu="),
        *("--endpoints", "h:1,h:2", "--name", "me", "--lease-ttl-ms", "900"),
        *("--drain-timeout-ms", "7"),
    )
    assert result.exit_code == 0, result.output
    ((runner, config, endpoints),) = served
    assert isinstance(runner, RegistryRunner)
    assert (config.queues, config.slots, config.name) == (("a", "b"), 4, "me")
    assert (config.lease_ttl_ms, config.drain_timeout_ms) == (900, 7)
    assert dict(config.labels) == {"zone": "1", "gpu": ""}
    assert endpoints == "h:1,h:2"


def test_exec_passes_the_command_on_untouched(
    served: list[tuple[Any, WorkerConfig, str]],
) -> None:
    result = invoke("exec", "--queues", "a", "--", "sh", "-c", "x", "--slots", "9")
    assert result.exit_code == 0, result.output
    ((runner, config, endpoints),) = served
    assert isinstance(runner, ExecRunner)
    assert runner.command == ("sh", "-c", "x", "--slots", "9")
    assert config.slots == 1
    assert endpoints == "127.0.0.1:7400"


def test_endpoints_come_from_the_environment(
    served: list[tuple[Any, WorkerConfig, str]],
) -> None:
    invoke("exec", "--queues", "a", "--", "sh", env={"COORD_ENDPOINTS": "far:1"})
    assert served[0][2] == "far:1"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["run", "no_such_module", "--queues", "a"], "cannot load 'no_such_module'"),
        (["run", "handlers_for_cli:nope", "--queues", "a"], "has no 'nope'"),
        (["run", "handlers_for_cli.py", "--queues", ","], "queues: name at least one"),
        (["run", "handlers_for_cli.py", "--queues", "a", "--slots", "0"], "slots: must be"),
        (["run", "handlers_for_cli.py", "--queues", "a", "--label", "x"], "label: must be"),
        (["run", "handlers_for_cli.py", "--queues", "a", "--log-format", "x"], "log-format"),
        (["run", "handlers_for_cli.py", "--queues", "a", "--log-level", "x"], "log-level"),
        (["run", "handlers_for_cli.py", "--queues", "a", "--processes", "0"], "processes"),
        (["run", "handlers_for_cli.py", "--queues", "a", "--endpoints", ","], "endpoints"),
        (["run", "handlers_for_cli.py", "--queues", "a", "--endpoints", "x"], "is not HOST:PORT"),
        (["exec", "--queues", "a", "--", "/no/such/cmd"], "no command '/no/such/cmd'"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    arguments: list[str], problem: str, served: list[object]
) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("agentnode: ")
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
    assert served == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\ny = nope\n", "NameError: name 'nope' is not defined (at {file}:2)"),
        ("import no_such_thing\n", "No module named 'no_such_thing' (at {file}:1)"),
        ("def f(:\n", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("\nimport sys\nsys.exit('no\\nway')\n", "SystemExit: no way (at {file}:3)"),
        (
            "import helper_of_broken\n",
            "ValueError: bad (at {folder}/helper_of_broken.py:2, reached from {file}:1)",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line_with_its_place(
    text: str, problem: str, here: Path, served: list[object]
) -> None:
    file = here / "broken.py"
    file.write_text(text)
    (here / "helper_of_broken.py").write_text("def f():\n    raise ValueError('bad')\nf()\n")
    sys.modules.pop("helper_of_broken", None)
    result = invoke("run", "broken.py", "--queues", "a")
    assert result.exit_code == 2
    assert problem.format(file=file, folder=here) in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert served == []


@pytest.mark.parametrize("given", [None, "mine"])
def test_the_command_chooses_how_grpc_waits_unless_the_user_has(
    given: str | None, here: Path
) -> None:
    (here / "says.py").write_text(
        "import os, sys\nprint(os.environ.get('GRPC_EXPERIMENTS'))\nsys.exit(1)\n"
    )
    env = {key: value for key, value in os.environ.items() if key != grpc_io.VARIABLE}
    if given is not None:
        env[grpc_io.VARIABLE] = given
    shown = subprocess.run(
        [sys.executable, "-m", "agentnode", "run", "says.py", "--queues", "a"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    chosen = grpc_io.POLL_IN_PLACE if metadata.version("grpcio").startswith("1.85.") else "None"
    assert shown.stdout.strip() == (given or chosen), shown.stderr


@pytest.mark.parametrize(
    ("arguments", "is_it"),
    [
        (["python", "-m", "agentnode", "run"], True),
        (["python", "-X", "dev", "-m", "agentnode"], True),
        (["python", "/somewhere/bin/agentnode", "run"], True),
        (["python", "/somewhere/of/mine.py", "agentnode"], False),
        (["python", "-c", "import agentnode"], False),
        (["python"], False),
    ],
)
def test_a_program_that_uses_the_library_is_left_alone(arguments: list[str], is_it: bool) -> None:
    assert command.is_command(arguments) is is_it


def test_missing_options_are_wrong_usage() -> None:
    assert invoke("run", "handlers_for_cli.py").exit_code == 2
    assert invoke("exec", "--queues", "a").exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WorkerRefusedError("no"), 1),
        (DefiniteError("no", "LIMIT_EXCEEDED"), 1),
        (ClusterUnreachableError("nobody"), 3),
        (NoLeaderError("nobody", "NO_LEADER", retryable=True), 3),
    ],
)
def test_endings_have_their_exit_codes(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "serve", serve)
    result = invoke("exec", "--queues", "a", "--", "sh")
    assert result.exit_code == code
    assert result.stderr == f"agentnode: {error}\n"


def test_options_for_children_stay_in_front_of_the_command() -> None:
    with_options = cli.with_options
    assert with_options(["--queues", "a", "--", "sh", "--", "x"], ["--name", "n"]) == [
        *("--queues", "a", "--name", "n", "--", "sh", "--", "x")
    ]
    assert with_options(["m", "--queues", "a"], ["--name", "n"])[-2:] == ["--name", "n"]


def test_module_runs_as_a_program_and_reports_an_unreachable_cluster() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "agentnode", "exec", "--queues", "a"),
            *("--endpoints", "127.0.0.1:1", "--connect-timeout-ms", "100", "--", "cat"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "agentnode: no node answers at 127.0.0.1:1: " in done.stderr
    assert "Traceback" not in done.stderr
