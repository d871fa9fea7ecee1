"""Nodes run in sessions of their own, so they would outlive a program that was killed. A small
process holds the other end of a pipe: when the pipe ends without a farewell, the program is gone,
and it kills what is left and removes the cluster's directory.

    python -m coord.localcluster.leash DIRECTORY

Then lines "PID STARTED", "remove ARGV", at last "farewell". DIRECTORY "-": there is none to remove.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from coord.localcluster.processes import ProcessRecord, kill


class Leash:
    """The program's end. `directory` None: none is removed. `removers`: commands that remove what
    else would stay behind. `let_go` when everything was stopped in an orderly way."""

    def __init__(self, directory: Path | None, removers: Sequence[Sequence[str]] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "coord.localcluster.leash", str(directory or "-")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        for command in removers:
            self._say(f"remove {json.dumps(command)}")

    def hold(self, record: ProcessRecord) -> None:
        """This process is not to outlive the program."""
        self._say(f"{record.pid} {record.started}")

    def let_go(self) -> None:
        """Idempotent."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._say("farewell")
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed it; the run goes on without
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def watch(lines: Iterable[str], directory: Path | None) -> None:
    """Until the lines end; without a farewell, everything named is killed."""
    held: list[ProcessRecord] = []
    removers: list[list[str]] = []
    for line in lines:
        first, _, rest = line.strip().partition(" ")
        match first:
            case "farewell":
                return
            case "remove":
                removers.append(json.loads(rest))
            case pid:
                held.append(ProcessRecord(int(pid), rest))
    kill(held)
    for command in removers:
        subprocess.run(command, check=False, capture_output=True)
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    watch(sys.stdin, None if sys.argv[1] == "-" else Path(sys.argv[1]))
