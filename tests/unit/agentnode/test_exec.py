"""Commands as workers: JSON in, JSON out, exit codes, cancellation, bounds."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from agentnode.subprocess_runner import MAX_OUTPUT_BYTES, ExecRunner, task_as_json
from tests.support.agentnode import FakeClient, FakeTask, running_worker
from tests.support.waiting import eventually

WORD_COUNT = Path(__file__).parents[3] / "examples" / "any_language" / "word_count.sh"


def python(code: str) -> ExecRunner:
    return ExecRunner([sys.executable, "-c", code], kill_after_ms=100)


def shell(code: str) -> ExecRunner:
    return ExecRunner(["/bin/sh", "-c", code], kill_after_ms=100)


async def run_one(runner: ExecRunner, payload: bytes = b"null", **fields: object) -> FakeTask:
    client = FakeClient()
    client.tasks = type(client.tasks)(max_attempts=1)
    task = client.tasks.add(payload, **fields)
    async with running_worker(client, runner, lease_ttl_ms=60_000):
        await eventually(lambda: task.state in {"completed", "dead"}, 20)
    return task


async def test_task_goes_in_as_json_and_result_comes_out() -> None:
    echo = "import json,sys; print(json.dumps(json.load(sys.stdin)))"
    task = await run_one(python(echo), b'{"a": [1, 2]}', type="echo", labels={"k": "v"})
    assert json.loads(task.results[0]) == {
        "task_id": "t1",
        "queue": "q",
        "type": "echo",
        "attempt": 1,
        "max_attempts": 1,
        "priority": 0,
        "fencing_token": 1,
        "labels": {"k": "v"},
        "payload": {"a": [1, 2]},
        "checkpoint": None,
    }


@pytest.mark.parametrize("payload", [b"\xff\x00", b"{", b"NaN", b"plain text"])
async def test_payload_that_is_not_json_goes_in_as_base64(payload: bytes) -> None:
    client = FakeClient()
    client.tasks.add(payload).checkpoint = payload
    claim = await client.tasks.next_task(15_000)
    sent = json.loads(task_as_json(claim))
    assert base64.b64decode(sent["payload_base64"]) == payload
    assert base64.b64decode(sent["checkpoint_base64"]) == payload
    assert "payload" not in sent


async def test_empty_output_is_null_and_unread_input_is_no_problem() -> None:
    task = await run_one(shell("exit 0"), b'"' + b"x" * 1_000_000 + b'"')
    assert task.results == [b"null"]


@pytest.mark.parametrize(
    ("code", "error", "retryable"),
    [
        ("echo one >&2; echo two >&2; exit 3", "exit code 3\none\ntwo", True),
        ("printf 'no end of line' >&2; exit 65", "exit code 65\nno end of line", False),
        ("kill -9 $$", "killed by signal 9", True),
        ("echo not json", "output is not JSON", False),
        ("echo NaN", "output is not JSON", False),
        ("echo 1 2", "output is not JSON", False),
    ],
)
async def test_failures(code: str, error: str, retryable: bool) -> None:
    task = await run_one(shell(code))
    assert task.results == []
    assert error in task.errors[0][0]
    assert task.errors[0][1] is retryable


async def test_command_that_cannot_start_is_a_retryable_failure() -> None:
    task = await run_one(ExecRunner(["/no/such/command"]))
    assert task.errors[0][0].startswith("cannot start '/no/such/command'")
    assert task.errors[0][1] is True


async def test_output_above_the_bound_is_a_permanent_failure() -> None:
    task = await run_one(python("while True: print('x' * 65536)"))
    assert task.errors == [(f"the result is larger than {MAX_OUTPUT_BYTES} bytes", False, None)]


async def test_output_just_within_the_bound_is_committed() -> None:
    task = await run_one(python(f"print('\"' + 'x' * {MAX_OUTPUT_BYTES - 3} + '\"', end='')"))
    assert [len(result) for result in task.results] == [MAX_OUTPUT_BYTES - 1]


async def test_noise_on_standard_error_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    task = await run_one(
        python("import sys\nfor n in range(2000): print('n', n, 'y' * 9000, file=sys.stderr)")
    )
    assert task.state == "completed"
    out = capsys.readouterr()
    assert (out.out + out.err).count("stderr ") <= 210
    assert len(out.out + out.err) < 1_000_000


async def test_control_lines_report_progress_and_checkpoint() -> None:
    code = (
        "import sys\n"
        'print(\'@agentnode {"progress": 0.5, "checkpoint": [7]}\', file=sys.stderr)\n'
        "print('@agentnode {broken', file=sys.stderr)\n"
        "sys.exit(1)"
    )
    task = await run_one(python(code))
    assert task.checkpoint == b"[7]"
    assert task.progress == [500]
    assert "@agentnode" not in task.errors[0][0]


async def test_lost_lease_ends_the_whole_process_group(tmp_path: Path) -> None:
    client = FakeClient()
    task = client.tasks.add()
    pids = tmp_path / "pids"
    # Neither the shell nor its child heeds SIGTERM.
    code = (
        "trap '' TERM; (trap '' TERM; sleep 60) & "
        f"echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait"
    )
    async with running_worker(client, shell(code), lease_ttl_ms=300) as worker:
        await eventually(pids.exists)
        client.tasks.take_away(task)
        await eventually(lambda: worker.running == 0)
    await eventually(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    assert (task.results, task.errors) == ([], [])


async def test_drain_gives_a_running_command_a_chance_to_clean_up(tmp_path: Path) -> None:
    client = FakeClient()
    task = client.tasks.add()
    started = tmp_path / "started"
    code = (
        'trap \'echo "@agentnode {\\"checkpoint\\": 42}" >&2; exit 1\' TERM\n'
        f"touch {started}\nwhile true; do sleep 0.01; done"
    )
    async with running_worker(
        client, shell(code), lease_ttl_ms=60_000, drain_timeout_ms=10, cancel_grace_ms=5_000
    ):
        await eventually(started.exists)
    assert (task.state, task.checkpoint) == ("released", b"42")


async def test_what_a_command_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    task = await run_one(shell(f"sleep 60 & echo $! > {pid_file}; echo 1"))
    assert task.results == [b"1"]
    await eventually(lambda: not alive(int(pid_file.read_text())))


async def test_commands_run_side_by_side(tmp_path: Path) -> None:
    client = FakeClient()
    tasks = [client.tasks.add() for _ in range(2)]
    # Each waits for the other's mark.
    code = (
        f"touch {tmp_path}/$$; "
        f"until [ $(ls {tmp_path} | wc -l) -ge 2 ]; do sleep 0.01; done; echo true"
    )
    async with running_worker(client, shell(code), lease_ttl_ms=60_000):
        await eventually(lambda: all(task.state == "completed" for task in tasks), 20)


async def test_example_counts_words() -> None:
    assert os.access(WORD_COUNT, os.X_OK)
    task = await run_one(ExecRunner([str(WORD_COUNT)]), b'{"text": "one two  three"}')
    assert [json.loads(result) for result in task.results] == [{"words": 3}]
    bad = await run_one(ExecRunner([str(WORD_COUNT)]), b"[]")
    assert bad.errors[0][1] is False


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
