"""docs/agents.md: its Python runs, its commands have the options they show."""

from __future__ import annotations

import json
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from agentnode import cli
from agentnode.registry import Registry
from tests.support.agentnode import FakeClient, FakeTask, FakeTasks, running_worker
from tests.support.waiting import eventually

PAGE = Path(__file__).parents[3] / "docs" / "agents.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """All the Python of the page, one block after the other, in one module."""
    module = types.ModuleType("handlers_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), vars(module))
    return module


async def run(registry: Registry, kind: str, payload: bytes, attempts: int = 1) -> FakeTask:
    client = FakeClient()
    client.tasks = FakeTasks(max_attempts=attempts)
    task = client.tasks.add(payload, type=kind)
    async with running_worker(client, registry, lease_ttl_ms=60_000):
        await eventually(lambda: task.state in {"completed", "dead", "ready"})
        await eventually(lambda: task.state in {"completed", "dead"})
    return task


@pytest.mark.parametrize(
    ("kind", "payload", "result"),
    [
        ("make_report", {"month": "May", "pages": 3}, {"pages": 3}),
        ("shout", "quiet", "QUIET"),
        ("charge", 5, "charged 5"),
        ("crawl", ["a", "b"], 2),
        ("sum_up", [1, 2, 3], 6),
        ("welcome", "ada@example.org", "message 1"),
    ],
)
async def test_the_handlers_do_what_the_page_says(
    module: types.ModuleType, kind: str, payload: Any, result: Any
) -> None:
    task = await run(module.registry, kind, json.dumps(payload).encode())
    assert [json.loads(data) for data in task.results] == [result], task.errors


async def test_bytes_travel_as_they_are(module: types.ModuleType) -> None:
    task = await run(module.registry, "checksum", b"\xff\x02")
    assert task.results == [b"\x01"]


@pytest.mark.parametrize(
    ("amount", "error", "retryable", "after_ms"),
    [
        (0, "PermanentError: an amount is positive", False, None),
        (2_000_000, "the bank asks to wait", True, 60_000),
        (13, "KeyError: 'nobody'", False, None),
        (7, "QuotaError: try again", True, None),
    ],
)
async def test_the_failures_mean_what_the_page_says(
    module: types.ModuleType, amount: int, error: str, retryable: bool, after_ms: int | None
) -> None:
    task = await run(module.registry, "charge", str(amount).encode())
    ((told, again, after),) = task.errors
    assert told.startswith(error)
    assert (again, after) == (retryable, after_ms)


def test_the_commands_have_the_options_they_show() -> None:
    known = get_command(cli.app)
    lines = [line for block in blocks("bash") for line in block.splitlines() if line]
    assert len(lines) >= 4
    for line in lines:
        program, name, *arguments = shlex.split(line)
        assert program == "agentnode"
        known.commands[name].make_context(name, list(arguments))  # type: ignore[attr-defined]
