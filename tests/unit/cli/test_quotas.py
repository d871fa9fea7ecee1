"""`coord queue get|set|delete`, `coord quota show|set`, and the alarm in `coord status`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coord.cli.output import byte_count
from coord.client import ClusterStatus, QueueInfo, Quota, RetentionPolicy
from coord.client.transport.errors import FailedPreconditionError
from tests.support.cli import Cli, make_member, make_task

QUEUE = QueueInfo("q", False, 1, 0, 0, 9, 4, 0, 0, 0, 0, 0, 5, kept=3, size_bytes=2_000)
FULL = replace(
    QUEUE, quota_tasks=3, policy=RetentionPolicy.DROP_RESULTS_OLDEST, full_by="tasks", tombstones=2
)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(monkeypatch, capsys)


def test_a_queue_is_shown_with_its_quotas(cli: Cli) -> None:
    cli.client.replies["queues.get"] = FULL
    found = cli("queue", "get", "q", "-o", "json").json
    assert found["queue"] == "q"
    assert (found["kept"], found["size_bytes"], found["quota_tasks"]) == (3, 2_000, 3)
    assert (found["retention_policy"], found["full_by"]) == ("drop_results_oldest", "tasks")
    shown = cli("queue", "get", "q").out
    assert "full (tasks)" in shown
    assert "drop_results_oldest" in shown


def test_a_list_of_queues_says_which_are_full(cli: Cli) -> None:
    cli.client.replies["queues.list"] = [QUEUE, FULL, replace(QUEUE, deleting=True)]
    lines = cli("queue", "list").out.splitlines()[-3:]
    assert [word in line for word, line in zip(("running", "full", "deleting"), lines, strict=True)]


def test_only_what_is_given_is_set(cli: Cli) -> None:
    cli.client.replies |= {"queues.configure": None, "queues.get": FULL}
    argv = ("queue", "set", "q", "--quota-tasks", "3", "--retention-policy", "drop_results_oldest")
    assert cli(*argv, "-o", "json").json["quota_tasks"] == 3
    policy = RetentionPolicy.DROP_RESULTS_OLDEST
    options = {"quota_tasks": 3, "quota_bytes": None, "policy": policy}
    assert cli.client.calls[0] == ("queues.configure", ("q",), options)


@pytest.mark.parametrize("argv", [(), ("--quota-tasks", "-1"), ("--retention-policy", "x")])
def test_nothing_to_set_is_a_usage_error(cli: Cli, argv: tuple[str, ...]) -> None:
    assert cli("queue", "set", "q", *argv).code == 2
    assert cli.client.calls == []


def test_a_queue_is_deleted(cli: Cli) -> None:
    cli.client.replies["queues.delete"] = 7
    assert cli("queue", "delete", "q", "--force", "-o", "json").json == {"queue": "q", "deleted": 7}
    assert cli.client.calls == [("queues.delete", ("q",), {"force": True})]
    assert cli("queue", "delete", "q").out == "q deleted, with 7 tasks\n"
    cli.client.replies["queues.delete"] = FailedPreconditionError("has 2", "QUEUE_NOT_EMPTY")
    result = cli("queue", "delete", "q")
    assert (result.code, result.err.count("\n")) == (1, 1)


def test_the_quota_is_shown(cli: Cli) -> None:
    cli.client.replies["cluster.quota"] = Quota(3 << 29, 2 << 30, True, True)
    assert cli("quota", "show", "-o", "json").json == {
        "bytes": 3 << 29,
        "limit_bytes": 2 << 30,
        "alarm": True,
        "automatic": True,
    }
    shown = cli("quota", "show").out
    assert "1.5 GiB" in shown
    assert "on: new tasks and keys are refused" in shown


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 << 30), ("512m", 512 << 20), ("1000000", 1_000_000), ("0", 0)]
)
def test_the_quota_is_set(cli: Cli, text: str, size: int) -> None:
    cli.client.replies["cluster.set_quota"] = lambda limit: Quota(1, limit, False, False)
    assert cli("quota", "set", text, "-o", "json").json["limit_bytes"] == size


@pytest.mark.parametrize("text", ["lots", "4 PiB", "1.5GiB", ""])
def test_what_is_no_size_is_a_usage_error(cli: Cli, text: str) -> None:
    result = cli("quota", "set", text)
    assert (result.code, cli.client.calls) == (2, [])
    assert result.err.count("\n") == 1


def test_status_shows_the_alarm(cli: Cli) -> None:
    members = (make_member(1, role="leader"),)
    calm = ClusterStatus("c", "n1", 3, 9, members, "n1", 10, 100, False)
    cli.client.replies["cluster.status"] = calm
    assert "ALARM" not in cli("status").out
    cli.client.replies["cluster.status"] = replace(calm, state_bytes=100, quota_alarm=True)
    assert "ALARM: the state takes 100 B of 100 B" in cli("status").out
    found = cli("status", "-o", "json").json
    assert (found["state_bytes"], found["quota_bytes"], found["quota_alarm"]) == (100, 100, True)


def test_a_dropped_payload_is_told(cli: Cli) -> None:
    cli.client.replies["tasks.get"] = make_task(payload_dropped=True)
    assert "(not kept after completion)" in cli("task", "get", "t1").out


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 << 40, "5120 GiB")]
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert byte_count(count) == text
