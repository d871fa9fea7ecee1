"""The public API is what docs/api lists; nobody changes it by accident."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

import pytest
import typer

from coord.client.transport.errors import DefiniteError
from scripts.lib.gen_api import ADVICE, differences, listings
from scripts.lib.public_api.commands import command_lines
from scripts.lib.public_api.names import _class_lines, function_line


@pytest.fixture(scope="module")
def wanted() -> dict[str, str]:
    return listings()


def test_the_public_api_is_what_is_listed(wanted: dict[str, str]) -> None:
    found = differences(wanted)
    assert not found, f"\n{found}\n\n{ADVICE}"


def test_a_change_is_shown_line_by_line(wanted: dict[str, str], tmp_path: Path) -> None:
    for name, text in wanted.items():
        (tmp_path / name).write_text(text.replace("fencing_token: int", "fence: int"))
    found = differences(wanted, tmp_path)
    assert "-    fence: int" in found
    assert "+    fencing_token: int" in found
    (tmp_path / "gone.txt").write_text("module gone\n")
    assert "-module gone" in differences(wanted, tmp_path)


def test_what_users_call_is_listed(wanted: dict[str, str]) -> None:
    for name in ("client.txt", "client-sync.txt"):
        assert "class client.tasks" in wanted[name]
    assert "    async def submit(self, queue: str, payload: bytes = b''," in wanted["client.txt"]
    assert "    def submit(self, queue: str, payload: bytes = b''," in wanted["client-sync.txt"]
    for command in ("coord task submit", "agentnode run", "chaos sim"):
        assert f"\n{command}\n" in wanted["commands.txt"]
    assert "    --priority N\n" in wanted["commands.txt"]


def test_names_are_shown_with_all_that_callers_can_see() -> None:
    @dataclass
    class Value:
        number: int
        text: str = "x"

    class Options(TypedDict, total=False):
        number: int

    def function(a: int, *rest: str, b: bytes = b"", **more: int) -> list[int]:
        raise NotImplementedError

    assert [*_class_lines("Value", Value)][1:] == ["    number: int", "    text: str = 'x'"]
    assert [*_class_lines("Options", Options)][1:] == ["    number: int"]
    assert function_line("f", function) == (
        "def f(a: int, *rest: str, b: bytes = b'', **more: int) -> list[int]"
    )
    error = [*_class_lines("DefiniteError", DefiniteError)]
    assert error[0] == "class DefiniteError(CoordError)"
    assert {"    message", "    reason", "    definite: bool"} <= set(error)


def test_commands_are_shown_with_names_and_without_help() -> None:
    app, group = typer.Typer(), typer.Typer(name="group")

    @group.command("do")
    def command(
        what: Annotated[str, typer.Argument(metavar="WHAT", help="Help.")],
        times: Annotated[int, typer.Option("-t", "--times")] = 3,
        label: Annotated[list[str] | None, typer.Option(metavar="K=V")] = None,
        dry: Annotated[bool, typer.Option("--dry")] = False,
        quiet: Annotated[bool, typer.Option("--quiet", hidden=True)] = False,
    ) -> None:
        """Help."""

    app.add_typer(group)
    assert [*command_lines(app, "app")] == [
        "app group do",
        "    WHAT (required)",
        "    -t, --times N (default 3)",
        "    --label K=V (repeatable)",
        "    --dry",
        "    --quiet (hidden)",
        "",
    ]
