"""An outage in the log: one line at its beginning, ever fewer while it lasts, one at its end."""

from __future__ import annotations

from itertools import pairwise

import structlog

from agentnode.outage import LONGEST_S, Outage
from agentnode.registry import Registry
from tests.support.agentnode import FakeClient, running_worker, unavailable
from tests.support.waiting import eventually


def test_an_hour_without_a_cluster_is_a_few_lines() -> None:
    now_s = 0.0
    with structlog.testing.capture_logs() as logs:
        outage = Outage(structlog.get_logger(), "lost", "still", "back", clock=lambda: now_s)
        while now_s < 3_600:
            outage.failed("nobody there")
            now_s += 0.25
        outage.worked()
        outage.worked()
    events = [line["event"] for line in logs]
    assert events[0] == "lost"
    assert events[-1] == "back"
    assert set(events[1:-1]) == {"still"}
    assert 8 <= len(events) <= 14
    assert logs[-1]["after_s"] == 3_600.0
    waits = [b["for_s"] - a["for_s"] for a, b in pairwise(logs[1:-1])]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S


def test_a_second_outage_is_told_anew() -> None:
    with structlog.testing.capture_logs() as logs:
        outage = Outage(structlog.get_logger(), "lost", "still", "back")
        for _ in range(3):
            outage.failed("x")
            outage.failed("x")
            outage.worked()
    assert [line["event"] for line in logs] == ["lost", "back"] * 3


async def test_a_worker_tells_of_the_loss_and_of_the_return() -> None:
    registry, client = Registry(), FakeClient()
    registry.task("work")(lambda _: 1)
    with structlog.testing.capture_logs() as logs:
        async with running_worker(client, registry):
            await eventually(lambda: bool(client.tasks.works))
            (work,) = client.tasks.works
            for _ in range(62):
                work.on_trouble(unavailable())
            work.on_connected()
    events = [line["event"] for line in logs]
    assert events.count("connection lost") == 1
    assert events.count("connected again") == 1
    assert "still no connection" not in events
