"""The `agentnode` command: `run` for Python handlers, `exec` for a command in any language.

Exit codes: 0 ended as asked, 1 refused by the cluster, 2 wrong usage, 3 cluster unreachable.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from agentnode import logs
from agentnode.apart import IsolatingRunner
from agentnode.app import serve
from agentnode.config import DEFAULT_DRAIN_TIMEOUT_MS, DEFAULT_LEASE_TTL_MS, WorkerConfig
from agentnode.errors import ClusterUnreachableError, LoadError, WorkerRefusedError
from agentnode.executors import RegistryRunner, Runner
from agentnode.loading import load_registry
from agentnode.loop import WorkerLoop
from agentnode.ports import CoordError, is_worth_repeating
from agentnode.subprocess_runner import ExecRunner
from agentnode.supervisor import Supervisor
from coord.client.transport.endpoints import DEFAULT_ENDPOINTS, endpoints_of
from coord.terminal.interrupts import take_interrupts

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

app = typer.Typer(
    name="agentnode",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Queues = Annotated[str, typer.Option("--queues", help="Queues to serve, best first: a,b,c")]
Slots = Annotated[int, typer.Option("--slots", help="Tasks at the same time, per process")]
Label = Annotated[
    list[str] | None, typer.Option("--label", help="key=value, shown with the worker; repeatable")
]
Endpoints = Annotated[
    str, typer.Option("--endpoints", envvar="COORD_ENDPOINTS", help="host:port,host:port")
]
Name = Annotated[str, typer.Option("--name", help="Who this is, for people (default: host:pid)")]
LeaseTtl = Annotated[int, typer.Option("--lease-ttl-ms", help="Length of a task's lease")]
Drain = Annotated[
    int, typer.Option("--drain-timeout-ms", help="What running tasks get after SIGTERM")
]
Connect = Annotated[
    int, typer.Option("--connect-timeout-ms", help="How long to try for the first contact")
]
LogFormat = Annotated[str, typer.Option("--log-format", help="console or json")]
LogLevel = Annotated[str, typer.Option("--log-level", help="debug, info, warning or error")]
Processes = Annotated[
    int, typer.Option("--processes", help="Worker processes; crashed ones are started again")
]
RestartStuck = Annotated[
    int,
    typer.Option(
        "--restart-stuck-after",
        metavar="MS",
        help="Start anew once all slots have been stuck for so long (0 = never)",
    ),
]
Parent = Annotated[int, typer.Option("--parent-pid", hidden=True)]

_DEFAULT_CONNECT_TIMEOUT_MS = 30_000
# With many handlers that compute, the event loop has its turn after so long times their number.
_SWITCH_INTERVAL_S = 0.001


@dataclass(frozen=True, slots=True)
class Process:
    """What concerns the process around the worker."""

    endpoints: str
    processes: int
    parent_pid: int
    log_format: str
    log_level: str


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentnode {metadata.version('coord-store')}")
        raise typer.Exit


@app.callback()
def common_options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Run a worker that claims tasks and commits their results."""


@app.command()
def run(
    module: Annotated[str, typer.Argument(metavar="MODULE[:REGISTRY]", help="Name or file.py")],
    queues: Queues,
    slots: Slots = 1,
    label: Label = None,
    endpoints: Endpoints = DEFAULT_ENDPOINTS,
    name: Name = "",
    lease_ttl_ms: LeaseTtl = DEFAULT_LEASE_TTL_MS,
    drain_timeout_ms: Drain = DEFAULT_DRAIN_TIMEOUT_MS,
    connect_timeout_ms: Connect = _DEFAULT_CONNECT_TIMEOUT_MS,
    log_format: LogFormat = "console",
    log_level: LogLevel = "info",
    restart_stuck_after: RestartStuck = 0,
    processes: Processes = 1,
    parent_pid: Parent = 0,
) -> None:
    """Serve the handlers of a Python module."""
    process = Process(endpoints, processes, parent_pid, log_format, log_level)
    config = _config(
        queues,
        slots,
        label,
        name,
        lease_ttl_ms,
        drain_timeout_ms,
        connect_timeout_ms,
        restart_stuck_after,
    )
    _prepare(process)
    folder = os.getcwd()  # the module may go elsewhere when it is loaded
    try:
        runner = IsolatingRunner(
            load_registry(module), module, folder, kill_after_ms=config.cancel_grace_ms
        )
    except LoadError as error:
        _stop(EXIT_USAGE, str(error))
    _serve(runner, config, process)


@app.command("exec")
def exec_(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD ARGS", help="One per task")],
    queues: Queues,
    slots: Slots = 1,
    label: Label = None,
    endpoints: Endpoints = DEFAULT_ENDPOINTS,
    name: Name = "",
    lease_ttl_ms: LeaseTtl = DEFAULT_LEASE_TTL_MS,
    drain_timeout_ms: Drain = DEFAULT_DRAIN_TIMEOUT_MS,
    connect_timeout_ms: Connect = _DEFAULT_CONNECT_TIMEOUT_MS,
    log_format: LogFormat = "console",
    log_level: LogLevel = "info",
    processes: Processes = 1,
    parent_pid: Parent = 0,
) -> None:
    """Run a command per task: the task as JSON on its input, the result as JSON on its output."""
    process = Process(endpoints, processes, parent_pid, log_format, log_level)
    config = _config(queues, slots, label, name, lease_ttl_ms, drain_timeout_ms, connect_timeout_ms)
    _prepare(process)
    if shutil.which(command[0]) is None:
        _stop(EXIT_USAGE, f"there is no command {command[0]!r}")
    _serve(ExecRunner(command, kill_after_ms=config.cancel_grace_ms // 2), config, process)


def _config(
    queues: str,
    slots: int,
    label: list[str] | None,
    name: str,
    lease_ttl_ms: int,
    drain_timeout_ms: int,
    connect_timeout_ms: int,
    restart_stuck_after_ms: int = 0,
) -> WorkerConfig:
    try:
        return WorkerConfig(
            queues=tuple(queue.strip() for queue in queues.split(",")),
            slots=slots,
            name=name or f"{socket.gethostname()}:{os.getpid()}",
            labels=_labels(label or []),
            lease_ttl_ms=lease_ttl_ms,
            drain_timeout_ms=drain_timeout_ms,
            connect_timeout_ms=connect_timeout_ms,
            restart_stuck_after_ms=restart_stuck_after_ms,
        )
    except ValueError as error:
        _stop(EXIT_USAGE, str(error))


def _labels(pairs: Sequence[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ValueError(f"label: must be key=value, not {pair!r}")
        labels[key] = value
    return labels


def _prepare(process: Process) -> None:
    if process.log_format not in logs.FORMATS:
        _stop(EXIT_USAGE, f"log-format: must be {' or '.join(logs.FORMATS)}")
    if process.log_level not in logs.LEVELS:
        _stop(EXIT_USAGE, f"log-level: must be one of {', '.join(logs.LEVELS)}")
    try:
        endpoints_of(process.endpoints)
    except ValueError as error:
        _stop(EXIT_USAGE, f"endpoints: {error}")
    if process.processes < 1:
        _stop(EXIT_USAGE, f"processes: must be 1 or more, not {process.processes}")
    logs.configure(process.log_format, process.log_level)


def _serve(runner: Runner, config: WorkerConfig, process: Process) -> None:
    if process.processes > 1:
        raise typer.Exit(asyncio.run(_supervise(config.name, process.processes)))
    try:
        in_process = isinstance(runner, RegistryRunner)
        if in_process:
            sys.setswitchinterval(_SWITCH_INTERVAL_S)
        with asyncio.Runner(loop_factory=WorkerLoop) as loop:
            loop.run(
                serve(
                    runner,
                    config,
                    process.endpoints,
                    parent_pid=process.parent_pid,
                    keeps_apart=in_process,
                    restart=_restart,
                )
            )
    except WorkerRefusedError as error:
        _stop(EXIT_REFUSED, str(error))
    except ClusterUnreachableError as error:
        _stop(EXIT_UNREACHABLE, str(error))
    except CoordError as error:
        _stop(EXIT_UNREACHABLE if is_worth_repeating(error) else EXIT_REFUSED, str(error))


def _restart() -> NoReturn:
    """The same command in the same process, without the threads that hang."""
    options = [option for option in sys.orig_argv[1:] if option]
    os.execv(sys.executable, [sys.executable, *options])


async def _supervise(name: str, processes: int) -> int:
    """The same command line once per process; later options win over earlier ones."""
    common = [sys.executable, "-m", "agentnode", sys.argv[1]]
    own = ["--processes", "1", "--parent-pid", str(os.getpid())]
    commands = []
    for index in range(processes):
        options = [*own, "--name", f"{name}-{index + 1}"]
        commands.append([*common, *with_options(sys.argv[2:], options)])
    return await Supervisor(commands).run()


def with_options(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Options go in front of `--`: what is behind belongs to the command."""
    place = list(arguments).index("--") if "--" in arguments else len(arguments)
    return [*arguments[:place], *options, *arguments[place:]]


def _stop(code: int, message: str) -> NoReturn:
    typer.echo(f"agentnode: {message}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the console script."""
    take_interrupts()
    app(prog_name="agentnode")
