"""The handlers in examples/hello do what their documentation says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentnode.loading import load_registry
from agentnode.registry import Registry
from tests.support.agentnode import FakeClient, running_worker
from tests.support.waiting import eventually

TASKS = Path(__file__).parents[3] / "examples" / "hello" / "tasks.py"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.syspath_prepend(str(TASKS.parent))
    return load_registry(str(TASKS))


async def test_hello_serves_its_queue(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add(b'"world"', queue="hello")
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b'"Hello, world!"']


async def test_total_goes_on_from_its_checkpoint(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add(b'{"values": [1, 2, 3]}', type="total")
    task.checkpoint = b'{"done": 2, "total": 300}'
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert json.loads(task.results[0]) == {"total": 303}


async def test_announce_acts_once(registry: Registry) -> None:
    client = FakeClient()
    task = client.tasks.add(b'"news"', type="announce")
    async with running_worker(client, registry):
        await eventually(lambda: task.state == "completed")
    assert task.results == [b'"announced by attempt 1"']
    assert list(client.kv.entries) == ["agentnode/effects/t1/log"]
