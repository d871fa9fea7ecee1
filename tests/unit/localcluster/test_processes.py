"""Background processes: states, signals, and never touching a foreign process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coord.localcluster.processes import (
    ProcessRecord,
    ProcessState,
    kill,
    process_state,
    send_signal,
    spawn_detached,
    terminate,
    wait_gone,
)

Spawn = Callable[[str], ProcessRecord]
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def spawn(log: Path) -> Iterator[Spawn]:
    records = []

    def start(code: str) -> ProcessRecord:
        records.append(spawn_detached([sys.executable, "-c", code], log, os.environ))
        return records[-1]

    yield start
    kill(records)


def wait_for_output(log: Path) -> None:
    deadline = time.monotonic() + 20
    while "up" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_output_goes_to_the_log_and_the_process_has_its_own_session(
    spawn: Spawn, log: Path
) -> None:
    record = spawn("import sys, os; print('up'); print(os.getsid(0), file=sys.stderr)")
    assert wait_gone([record], 20_000) == []
    assert sorted(log.read_text().split()) == sorted(["up", str(record.pid)])


def test_pause_and_resume_are_seen(spawn: Spawn) -> None:
    record = spawn(SLEEP)
    assert process_state(record) is ProcessState.RUNNING
    for number, state in (
        (signal.SIGSTOP, ProcessState.PAUSED),
        (signal.SIGCONT, ProcessState.RUNNING),
    ):
        assert send_signal(record, number)
        deadline = time.monotonic() + 10
        while process_state(record) is not state:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_a_killed_process_is_down_and_gets_no_more_signals(spawn: Spawn) -> None:
    record = spawn(SLEEP)
    kill([record])
    assert process_state(record) is ProcessState.DOWN
    assert not send_signal(record, signal.SIGTERM)


def test_terminate_kills_what_does_not_listen(spawn: Spawn, log: Path) -> None:
    record = spawn(STUBBORN)
    wait_for_output(log)
    terminate([record], grace_ms=100)
    assert process_state(record) is ProcessState.DOWN


def test_terminate_ends_a_paused_process(spawn: Spawn) -> None:
    record = spawn(SLEEP)
    send_signal(record, signal.SIGSTOP)
    terminate([record], grace_ms=10_000)
    assert process_state(record) is ProcessState.DOWN


def test_a_process_with_the_same_id_but_another_start_is_not_touched(spawn: Spawn) -> None:
    record = spawn(SLEEP)
    other = ProcessRecord(record.pid, "an earlier boot:1")
    assert process_state(other) is ProcessState.DOWN
    assert not send_signal(other, signal.SIGKILL)
    kill([other])
    assert process_state(record) is ProcessState.RUNNING


def test_a_process_id_nobody_has_is_down() -> None:
    nobody = ProcessRecord(2**22 - 1, "x")
    assert process_state(nobody) is ProcessState.DOWN
    assert not send_signal(nobody, signal.SIGTERM)
