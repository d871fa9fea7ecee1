"""The options of a task: everything that submits tasks takes all of them."""

from __future__ import annotations

import inspect
import typing
from dataclasses import fields
from typing import Any

import pytest

from coord.cli.task_options import OPTIONS
from coord.client import SubmittedTask, TaskOptions, TaskSpec
from coord.client.sync.tasks import Tasks as BlockingTasks
from coord.client.tasks.convert import spec_from, spec_message
from coord.client.tasks.tasks import Tasks
from coord.codec.commands import decode_request
from coord.codec.kinds import CommandKind
from coord.core.tasks import commands as core
from coord.pb import task_pb2 as pb
from coord.rpc.services import task_wire
from tests.support.cli import Cli

ALL: dict[str, Any] = {
    "priority": -1,
    "idempotency_key": "once",
    "type": "kind",
    "delay_ms": 2,
    "not_before_unix_ms": 3,
    "max_attempts": 4,
    "backoff_initial_ms": 5,
    "backoff_max_ms": 6,
    "backoff_multiplier_permille": 2_007,
    "attempt_timeout_ms": 8,
    "progress_timeout_ms": 9,
    "total_timeout_ms": 10,
    "retention_ms": 11,
    "labels": {"a": "1"},
    "max_lost_leases": 12,
}
IN_THE_MESSAGE = {one.name for one in pb.TaskSpec.DESCRIPTOR.fields} - {"queue", "payload"}


def test_every_field_of_the_message_is_an_option_everywhere() -> None:
    assert set(TaskOptions.__annotations__) == IN_THE_MESSAGE
    assert {one.name for one in fields(TaskSpec)} - {"queue", "payload"} == IN_THE_MESSAGE
    assert set(OPTIONS) == IN_THE_MESSAGE
    assert set(ALL) == IN_THE_MESSAGE


def test_options_and_fields_have_the_same_types() -> None:
    options = typing.get_type_hints(TaskOptions)
    known = typing.get_type_hints(TaskSpec)
    assert options.pop("labels") == known["labels"] | None
    assert options == {name: known[name] for name in options}


@pytest.mark.parametrize("kind", [Tasks, BlockingTasks])
def test_the_signature_of_submit_shows_every_option(kind: type[Tasks]) -> None:
    shown = inspect.signature(kind.submit).parameters
    assert [*shown] == ["self", "queue", "payload", *TaskOptions.__annotations__, "timeout_ms"]
    assert (shown["priority"].annotation, shown["priority"].default) == ("int", 0)
    assert (shown["labels"].annotation, shown["labels"].default) == (
        "Mapping[str, str] | None",
        None,
    )


def test_every_option_reaches_the_state_machine_and_comes_back() -> None:
    spec = TaskSpec("q", b"p", **ALL)
    assert all(getattr(spec, name) == value for name, value in ALL.items())
    message = spec_message(spec)
    raw = pb.SubmitRequest(tasks=[message]).SerializeToString()
    command, _ = decode_request(CommandKind.SUBMIT_TASKS, raw)
    assert isinstance(command, core.SubmitTasks)
    (kept,) = command.tasks
    assert kept == core.TaskSpec("q", b"p", **ALL)
    shown = task_wire._spec(kept, omit_payload=False)
    assert shown == message
    assert spec_from(shown) == spec
    assert task_wire._spec(kept, omit_payload=True).payload == b""


def test_no_labels_can_also_be_said() -> None:
    assert TaskSpec.of("q", b"", {"labels": None, "priority": 1}) == TaskSpec("q", priority=1)
    with pytest.raises(TypeError, match="prioritiy"):
        TaskSpec.of("q", b"", {"prioritiy": 1})  # type: ignore[typeddict-unknown-key]


def test_the_command_line_passes_every_option_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(monkeypatch, capsys)
    cli.client.replies["tasks.submit"] = SubmittedTask("t1", 9, False)
    arguments: list[str] = []
    for name, value in ALL.items():
        option = f"--{name.replace('_', '-')}"
        arguments += ["--label", "a=1"] if name == "labels" else [option, str(value)]
    cli("task", "submit", "-q", "q", *arguments)
    assert cli.client.calls == [("tasks.submit", ("q", b""), ALL)]
