"""Every command with bad input, with a cluster that refuses, and without one: one clear line and
the exit code that the contract names."""

from __future__ import annotations

import inspect
import socket
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo

from coord.cli.main import app
from coord.cli.remote import Client
from coord.client.transport import errors
from tests.support.cli import Cli, Result

NODES = {"coord serve", "coord dev"}  # they run a node, and have tests of their own
# What an argument or a required option may be, by its name.
GIVEN = {
    "session_id": "7",
    "value": "v",
    "address": "h:1",
    "peer_address": "h:2",
    "token": "5",
    "old": "n1",
    "new": "n9",
    "task_ids": "t1",
    "size": "1GiB",
    "command": "true",
}
EXTRA = {
    "coord kv del": ["k"],
    "coord kv txn": ["--then", "get k"],
    "coord queue set": ["--retention-policy", "refuse"],
}


@dataclass(frozen=True)
class Command:
    path: str
    parameters: dict[str, tuple[Any, type, bool]]  # name -> info, type, required

    @property
    def words(self) -> list[str]:
        return self.path.split()[1:]

    def good(self, *left_out: str) -> list[str]:
        """Arguments with which it is understood."""
        options: list[str] = []
        arguments: list[str] = []
        for name, (info, _, required) in self.parameters.items():
            if not required or name in left_out:
                continue
            value = GIVEN.get(name, "x")
            if isinstance(info, OptionInfo):
                options += [option_of(name, info), value]
            else:
                arguments.append(value)
        return [*self.words, *options, *EXTRA.get(self.path, []), *arguments]

    @property
    def arguments(self) -> list[str]:
        return [n for n, (info, _, req) in self.parameters.items() if req and is_argument(info)]

    @property
    def numbers(self) -> list[str]:
        return [
            option_of(name, info)
            for name, (info, kind, _) in self.parameters.items()
            if isinstance(info, OptionInfo) and {int, float} & {kind, *get_args(kind)}
        ]


def is_argument(info: Any) -> bool:
    return isinstance(info, ArgumentInfo)


def option_of(name: str, info: OptionInfo) -> str:
    declared = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    long = [one for one in declared if one.startswith("--")]
    return long[0] if long else f"--{name.replace('_', '-')}"


def walk(group: typer.Typer, path: str) -> Iterator[Command]:
    for one in group.registered_commands:
        assert one.callback is not None
        yield Command(f"{path} {one.name}", parameters_of(one.callback))
    for below in group.registered_groups:
        child = below.typer_instance
        assert child is not None
        yield from walk(child, f"{path} {child.info.name}")


def parameters_of(callback: Callable[..., Any]) -> dict[str, tuple[Any, type, bool]]:
    found = {}
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is Annotated:
            kind, info = get_args(parameter.annotation)[:2]
            required = parameter.default is inspect.Parameter.empty
            found[parameter.name] = (info, kind, required)
    return found


ALL = sorted(walk(app, "coord"), key=lambda command: command.path)
REMOTE = [command for command in ALL if command.path not in NODES]
by_path = pytest.mark.parametrize("command", ALL, ids=lambda c: c.path)
by_remote_path = pytest.mark.parametrize("command", REMOTE, ids=lambda c: c.path)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def one_line(result: Result, code: int) -> str:
    assert result.code == code, result.err
    assert result.err.startswith("error: "), result.err
    assert result.err.count("\n") == 1
    for raw in ("Traceback", "Errno", "etcdserver", "StatusCode", "<class"):
        assert raw not in result.err
    return result.err


def test_there_are_commands_to_try() -> None:
    assert len(REMOTE) > 25


@by_path
def test_wrong_usage_is_one_line_and_exit_code_2(cli: Cli, command: Command) -> None:
    assert "--nonsense" in one_line(cli(*command.words, "--nonsense"), 2)
    for name in command.arguments:
        if name == "command":
            continue
        one_line(cli(*command.good(name)), 2)
    for option in command.numbers:
        for wrong in ("x", "-99999999999999999999", "99999999999999999999999"):
            good = command.good(option.removeprefix("--"))
            words = [*good[: len(command.words)], f"{option}={wrong}", *good[len(command.words) :]]
            assert option in one_line(cli(*words), 2)
    assert cli.client.calls == []


@by_remote_path
def test_wrong_common_options_are_wrong_usage(cli: Cli, command: Command) -> None:
    good = command.good()
    end = good.index("true") if "true" in good else len(good)
    for wrong in (["--endpoints", "nonsense"], ["-o", "xml"], ["--timeout-ms", "0"]):
        one_line(cli(*good[:end], *wrong, *good[end:]), 2)


@by_remote_path
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError("there is no such thing", "TASK_NOT_FOUND"), 1),
        (errors.InvalidArgumentError("the name is too long", "INVALID_ARGUMENT"), 1),
        (errors.OutcomeUnknownError("the connection was closed", "OUTCOME_UNKNOWN"), 3),
        (errors.NoLeaderError("no leader is known", "NO_LEADER"), 3),
    ],
    ids=lambda value: getattr(value, "reason", ""),
)
def test_what_the_cluster_says_is_one_line(
    cli: Cli, command: Command, error: errors.CoordError, code: int
) -> None:
    cli.client.replies = defaultdict(lambda: error)
    one_line(cli(*command.good()), code)


@by_remote_path
def test_without_a_cluster_it_is_exit_code_3(
    cli: Cli, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coord.cli.remote.Client", Client)  # the real one
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{nobody.getsockname()[1]}"
        result = cli("--endpoints", endpoint, "--timeout-ms", "150", *command.good())
    said = one_line(result, 3)
    assert endpoint in said
    assert "may have happened" not in said
