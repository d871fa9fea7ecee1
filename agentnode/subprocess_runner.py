"""Runs each task as a process of its own, in any language (`agentnode exec`).

Standard input: one JSON object with `task_id`, `queue`, `type`, `attempt`, `max_attempts`,
`priority`, `fencing_token`, `labels`, the payload as `payload` if it is JSON (null if empty) or
else `payload_base64`, and in the same way `checkpoint` or `checkpoint_base64` (null if none).

Standard output: the result, one JSON value; empty means null. Standard error goes to the log line
by line, except lines that start with `@agentnode `: the JSON object behind that may have
`progress` (0 to 1) and `checkpoint` (any JSON value), and is treated as in a Python handler.

Exit code 0: the result is committed. 65 (EX_DATAERR): failed for good, the task is dead. Any other
code, or death by a signal: failed, another attempt may follow.

A cancelled task's whole process group gets SIGTERM, and SIGKILL when that does not end it in time;
the same sweeps up what an ended command has left behind. When the worker itself is killed
(SIGKILL), its commands go on without it: their results count for nothing, and what they do outside
should carry the fencing token.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from typing import Any, cast

from agentnode.context import BaseContext, ContextServices
from agentnode.errors import TaskCancelledError
from agentnode.held import HeldTask
from agentnode.outcome import Done, Failed, Outcome, Stopped, bounded
from agentnode.ports import ClaimedTask
from agentnode.registry import no_constant

EXIT_PERMANENT = 65
MAX_OUTPUT_BYTES = 1_048_576
_CONTROL = b"@agentnode "
_MAX_LOG_LINES = 200
# Longer lines are cut for the log; control lines may be as long as a checkpoint.
_MAX_LOG_LINE = 2_000
_MAX_LINE_BYTES = 2 * 1_048_576
_MAX_TAIL_LINES = 10
# For output still in the pipes when the command has ended.
_LAST_OUTPUT_S = 1.0


class ExecRunner:
    """Runs one command per task. `kill_after_ms` lies between SIGTERM and SIGKILL."""

    def __init__(self, command: Sequence[str], *, kill_after_ms: int = 1_000) -> None:
        self.command = tuple(command)
        self._kill_after_s = kill_after_ms / 1000

    def timeout_ms(self, held: HeldTask) -> int:
        """No bound of its own; the task may have one."""
        return 0

    async def run(self, held: HeldTask, services: ContextServices) -> Outcome:
        loop = asyncio.get_running_loop()
        context = BaseContext(held, services)
        output = _Output(context)
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: output, *self.command, start_new_session=True
            )
        except OSError as error:
            return Failed(f"cannot start {self.command[0]!r}: {error}")
        group = _ProcessGroup(transport, self._kill_after_s)
        try:
            held.on_cancel(group.terminate)
            _feed(transport, task_as_json(held.claim))
            await output.exited
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_OUTPUT_S):
                    await output.closed
        finally:
            group.kill()
            transport.close()
        if held.cancelled.is_set():
            return Stopped()
        return output.outcome(transport.get_returncode())


class _ProcessGroup:
    """The command and everything it started that stayed in its group."""

    def __init__(self, transport: asyncio.SubprocessTransport, kill_after_s: float) -> None:
        self._group = transport.get_pid()
        self._kill_after_s = kill_after_s
        self._timer: asyncio.TimerHandle | None = None

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)
        self._timer = asyncio.get_running_loop().call_later(self._kill_after_s, self.kill)

    def kill(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)


class _Output(asyncio.SubprocessProtocol):
    """Collects what the command says, within bounds."""

    def __init__(self, context: BaseContext) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._open = {1, 2}
        self._stdout = bytearray()
        self._overflow = False
        self._transport: asyncio.SubprocessTransport | None = None
        self._stderr = _StderrLines(context)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._stderr.feed(data)
        elif not self._overflow:
            self._stdout += data
            if len(self._stdout) > MAX_OUTPUT_BYTES:
                self._overflow = True
                if self._transport is not None:
                    self._transport.kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open and not self.closed.done():
            self.closed.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)

    def outcome(self, returncode: int | None) -> Outcome:
        self._stderr.finish()
        if self._overflow:
            return Failed(f"the result is larger than {MAX_OUTPUT_BYTES} bytes", retryable=False)
        if returncode != 0:
            return self._failure(returncode)
        result = bytes(self._stdout).strip() or b"null"
        try:
            json.loads(result, parse_constant=no_constant)
        except (ValueError, RecursionError) as error:
            return Failed(f"the command's output is not JSON: {error}", retryable=False)
        return Done(result)

    def _failure(self, returncode: int | None) -> Failed:
        if returncode is not None and returncode < 0:
            what = f"the command was killed by signal {-returncode}"
        else:
            what = f"the command ended with exit code {returncode}"
        return Failed(
            bounded("\n".join([what, *self._stderr.tail])), retryable=returncode != EXIT_PERMANENT
        )


class _StderrLines:
    """Splits standard error into lines, for the log or for the runtime."""

    def __init__(self, context: BaseContext) -> None:
        self.tail: list[str] = []
        self._context = context
        self._rest = bytearray()
        self._lines = 0

    def feed(self, data: bytes) -> None:
        self._rest += data
        *lines, rest = bytes(self._rest).split(b"\n")
        for line in lines:
            self._line(line)
        self._rest = bytearray(rest)
        if len(rest) > _MAX_LINE_BYTES:
            self.finish()

    def finish(self) -> None:
        """What is left without an end of line is a line too."""
        if self._rest:
            self._line(bytes(self._rest))
            self._rest.clear()

    def _line(self, line: bytes) -> None:
        if line.startswith(_CONTROL):
            self._control(line[len(_CONTROL) :])
            return
        text = line[:_MAX_LOG_LINE].decode("utf-8", "replace").rstrip()
        self.tail = [*self.tail[1 - _MAX_TAIL_LINES :], text]
        self._lines += 1
        if self._lines <= _MAX_LOG_LINES:
            self._context.logger.info("stderr", line=text)
        elif self._lines == _MAX_LOG_LINES + 1:
            self._context.logger.warning("stderr goes on and is not logged any further")

    def _control(self, text: bytes) -> None:
        try:
            report = json.loads(text, parse_constant=no_constant)
            if "checkpoint" in report:
                self._context.save_checkpoint(report["checkpoint"])
            if "progress" in report:
                self._context.report_progress(report["progress"])
        except (ValueError, TypeError, RecursionError, TaskCancelledError) as error:
            self._context.logger.warning("bad @agentnode line", error=str(error))


def task_as_json(claim: ClaimedTask) -> bytes:
    """What a command gets on its standard input."""
    task: dict[str, Any] = {
        "task_id": claim.task_id,
        "queue": claim.queue,
        "type": claim.type,
        "attempt": claim.attempt,
        "max_attempts": claim.max_attempts,
        "priority": claim.priority,
        "fencing_token": claim.fencing_token,
        "labels": dict(claim.labels),
    }
    for name, data in (("payload", claim.payload), ("checkpoint", claim.checkpoint)):
        try:
            task[name] = json.loads(data, parse_constant=no_constant) if data else None
        except (ValueError, RecursionError):
            task[f"{name}_base64"] = base64.b64encode(data).decode()
    return json.dumps(task).encode() + b"\n"


def _feed(transport: asyncio.SubprocessTransport, data: bytes) -> None:
    """Write and close. A command that does not read its input is free not to."""
    stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
    if not stdin.is_closing():
        stdin.write(data)
        stdin.write_eof()
