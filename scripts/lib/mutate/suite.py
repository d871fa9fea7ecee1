"""Running named tests in a copy of the tree, in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_TAIL_LINES = 15


class Ending(Enum):
    """How a run of tests ended."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"  # nothing was tested: a file could not be collected, a test does not exist
    TOO_SLOW = "too slow"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`failed`: the tests that failed, as pytest names them. `tail`: its last lines."""

    ending: Ending
    failed: tuple[str, ...]
    tail: str


async def run_tests(root: Path, tests: Iterable[str], timeout_s: float, *, every: bool) -> Outcome:
    """Run the tests of the tree at `root`; not `every`: up to the first that fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--no-header", "--tb=line"]
    command += ["-p", "no:cacheprovider", "--timeout=0", *([] if every else ["-x"]), *tests]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=root,
        env=_environment(root),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await process.communicate()
    except TimeoutError:
        return Outcome(Ending.TOO_SLOW, (), f"did not end within {timeout_s:g} s")
    finally:
        # The tests may have left processes of their own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    text = output.decode(errors="replace")
    tail = "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])
    return Outcome(_ending(process.returncode), tuple(_FAILED.findall(text)), tail)


def _ending(code: int | None) -> Ending:
    if code == 0:
        return Ending.PASSED
    # 1: some failed. All others: not collected, no such test, nothing selected, killed.
    return Ending.FAILED if code == 1 else Ending.BROKEN


def _environment(root: Path) -> dict[str, str]:
    """The copy goes before the installed tree, in processes that tests start as well."""
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}


async def check_imports(root: Path) -> None:
    """Raise RuntimeError unless the tests of this tree would test this tree."""
    code = "import coord, agentnode, chaos; print(coord.__file__, chaos.__file__)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=root,
        env=_environment(root),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found = output.decode().split()
    if not found or not all(path.startswith(f"{root}/") for path in found):
        raise RuntimeError(f"tests would import {output.decode().strip()}, not the copy in {root}")
