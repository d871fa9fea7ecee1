"""SIGINT stops what a shell started in the background, where it is ignored at first."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SIGINT_BIT = 1 << (signal.SIGINT - 1)
# Runs its arguments as a background job of a shell would be run.
IN_THE_BACKGROUND = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@contextmanager
def background(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", IN_THE_BACKGROUND, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def mask(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1], 16)


def is_started(pid: int) -> bool:
    """Whether it is what is tested by now: before, it is the program that ignores interrupts."""
    return b"os.execv" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def wait_until_it_takes_interrupts(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not (is_started(process.pid) and mask(process.pid, "SigCgt") & SIGINT_BIT):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "SIGINT is still ignored"
        time.sleep(0.02)


def test_without_a_handler_it_would_be_ignored() -> None:
    with background("-c", "print('runs', flush=True); import time; time.sleep(60)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        assert mask(process.pid, "SigIgn") & SIGINT_BIT


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "chaos", "sim", "--seeds", "0:1000000", "--jobs", "1"),
        ("-m", "coord.cli", "dev", "--nodes", "1", "--base-port", "{port}"),
        (
            "-m",
            "coord.cli",
            "serve",
            "--in-memory",
            "--node-id",
            "n1",
            "--listen",
            "127.0.0.1:{port}",
        ),
        ("-m", "agentnode", "exec", "--queues", "q", "--endpoints", "127.0.0.1:1", "--", "true"),
        ("-m", "scripts.lib.mutate", "--jobs", "1"),
    ],
    ids=lambda words: " ".join(words[1:3]),
)
def test_a_background_job_can_be_interrupted(words: Sequence[str]) -> None:
    from tests.support.rpc import free_port

    with background(*(word.format(port=free_port()) for word in words)) as process:
        wait_until_it_takes_interrupts(process)
        deadline = time.monotonic() + 60
        while process.poll() is None:  # it may be between two handlers of its own
            assert time.monotonic() < deadline, "it does not stop"
            process.send_signal(signal.SIGINT)
            # Another one in the middle of its end would kill it.
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        output, _ = process.communicate()
        # In its first and last moments it has no handler of its own, and just dies of the signal.
        assert process.returncode in {0, 1, 2, 3, 130, -signal.SIGINT}, output


def test_the_suite_can_be_interrupted(tmp_path: Path) -> None:
    """And its children are not born with SIGINT ignored."""
    (tmp_path / "test_long.py").write_text(
        "import subprocess, sys, time\n"
        "def test_long():\n"
        "    code = 'import signal; print(signal.getsignal(signal.SIGINT))'\n"
        "    print(subprocess.check_output([sys.executable, '-c', code], text=True), flush=True)\n"
        "    time.sleep(60)\n"
    )
    words = ("-m", "pytest", "-s", "-p", "tests.conftest", "-p", "no:cacheprovider")
    with background(*words, str(tmp_path)) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "int_handler" in line or "Handlers" in line)
        assert "default_int_handler" in line
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
