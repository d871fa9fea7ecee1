"""The commands of `scripts/cluster`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from coord.localcluster.cluster import (
    DEFAULT_BASE_PORT,
    DEFAULT_NODES,
    LocalCluster,
    NodeStatus,
    default_directory,
)
from coord.localcluster.errors import LocalClusterError
from coord.localcluster.state import MAX_NODES
from coord.terminal.entry import INTERRUPTED, USAGE, WrongUsageError, complain, run_app
from coord.terminal.help import PlainCommand, PlainGroup
from coord.terminal.interrupts import take_interrupts
from coord.terminal.layout import Column, Printer
from coord.terminal.options import whole
from coord.terminal.text import os_reason, printable

STYLES = {"running": "green", "paused": "yellow", "down": "red", "leader": "green"}

app = typer.Typer(
    name="scripts/cluster",
    cls=PlainGroup,
    help="A local cluster in the background.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Where the cluster keeps everything.",
        show_default="coord/cluster in $XDG_STATE_HOME, or in ~/.local/state",
    ),
]
NodeId = Annotated[str, typer.Argument(metavar="NODE", help="Node id, such as n1.")]
SomeNode = Annotated[str, typer.Argument(metavar="[NODE]", help="Node id; without one, all.")]
HERE = default_directory()


@app.command(cls=PlainCommand)
def up(
    directory: Directory = HERE,
    nodes: Annotated[
        int | None,
        whole("--nodes", low=1, high=MAX_NODES, help="How many.", show_default=str(DEFAULT_NODES)),
    ] = None,
    base_port: Annotated[
        int | None,
        whole(
            "--base-port",
            low=1,
            high=65_535,
            metavar="PORT",
            help="Client port of the first node; the others follow.",
            show_default=str(DEFAULT_BASE_PORT),
        ),
    ] = None,
) -> None:
    """Create the cluster if need be, start it, and return when a leader serves."""
    cluster = LocalCluster(directory, nodes, base_port)
    begun = time.monotonic()
    started = cluster.up()
    if started:
        say(f"started {', '.join(started)}; a leader serves after {seconds_since(begun)} s")
    else:
        say("already up")
    say(f"export COORD_ENDPOINTS={','.join(cluster.endpoints)}")


@app.command(cls=PlainCommand)
def down(
    directory: Directory = HERE,
    wipe: Annotated[bool, typer.Option("--wipe", help="Also remove the data.")] = False,
) -> None:
    """Stop every node; no process is left. The data stays unless --wipe is given."""
    stopped = LocalCluster(directory).down(wipe=wipe)
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command(cls=PlainCommand)
def status(directory: Directory = HERE) -> None:
    """Show every node and its process."""
    show(LocalCluster(directory).status())


@app.command(cls=PlainCommand)
def kill(node: NodeId, directory: Directory = HERE) -> None:
    """SIGKILL a node."""
    LocalCluster(directory).kill(node)
    say(f"killed {node}")


@app.command(cls=PlainCommand)
def stop(node: NodeId, directory: Directory = HERE) -> None:
    """SIGTERM a node and wait for its orderly end."""
    LocalCluster(directory).stop(node)
    say(f"stopped {node}")


@app.command(cls=PlainCommand)
def pause(node: NodeId, directory: Directory = HERE) -> None:
    """SIGSTOP a node: it stands still and keeps its connections."""
    LocalCluster(directory).pause(node)
    say(f"paused {node}")


@app.command(cls=PlainCommand)
def resume(node: NodeId, directory: Directory = HERE) -> None:
    """SIGCONT a paused node."""
    LocalCluster(directory).resume(node)
    say(f"resumed {node}")


@app.command(cls=PlainCommand)
def start(node: SomeNode = "", directory: Directory = HERE) -> None:
    """Start a node, or all that are down."""
    started = LocalCluster(directory).start(node or None)
    say(f"started {', '.join(started)}" if started else "already running")


@app.command(cls=PlainCommand)
def add(directory: Directory = HERE) -> None:
    """Add a node: start it, let it catch up and vote."""
    begun = time.monotonic()
    cluster = LocalCluster(directory)
    node = cluster.add()
    say(f"added {node}; it votes after {seconds_since(begun)} s")
    say(f"export COORD_ENDPOINTS={','.join(cluster.endpoints)}")


@app.command(cls=PlainCommand)
def remove(node: NodeId, directory: Directory = HERE) -> None:
    """Take a node out of the cluster, up or down, and forget its data."""
    LocalCluster(directory).remove(node)
    say(f"removed {node}")


@app.command(cls=PlainCommand)
def restart(node: SomeNode = "", directory: Directory = HERE) -> None:
    """Stop and start a node in good order, or all of them one after another."""
    LocalCluster(directory).restart(node or None)
    say(f"restarted {node or 'all nodes'}")


@app.command(cls=PlainCommand)
def logs(
    node: SomeNode = "",
    directory: Directory = HERE,
    lines: Annotated[
        int, whole("-n", "--lines", low=1, high=1_000_000, help="How many lines.")
    ] = 50,
) -> None:
    """Print the last log lines of a node, or of all."""
    cluster = LocalCluster(directory)
    names = [node] if node else cluster.node_ids
    for name in names:
        prefix = f"{name}: " if len(names) > 1 else ""
        for line in cluster.logs(name, lines):
            say(prefix + line)


@app.command(cls=PlainCommand)
def endpoints(directory: Directory = HERE) -> None:
    """Print the client addresses, as COORD_ENDPOINTS wants them."""
    say(",".join(LocalCluster(directory).endpoints))


def say(line: str) -> None:
    typer.echo(line)


def seconds_since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f}"


def show(nodes: list[NodeStatus]) -> None:
    Printer(STYLES).table(
        ("node", "state", "role", "term", "applied", Column("pid", rank=1), "clients", "peers"),
        [
            (
                node.node_id,
                node.state.value,
                node.role,
                node.term if node.role else "",
                node.applied_index if node.role else "",
                node.pid or "",
                node.client_address,
                node.peer_address,
            )
            for node in nodes
        ],
    )


def main() -> None:
    """Entry point: every foreseeable error is one line on standard error and exit code 1; wrong
    usage has exit code 2."""
    take_interrupts()
    sys.exit(_run())


def _run() -> int:
    try:
        return run_app(app, "scripts/cluster")
    except WrongUsageError as error:
        complain(str(error))
        return USAGE
    except LocalClusterError as error:
        first, *rest = str(error).splitlines()
        complain(first)
        for line in rest:  # the last words of a node
            typer.echo(printable(line), err=True)
    except OSError as error:
        complain(os_reason(error))
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        return INTERRUPTED
    return 1


if __name__ == "__main__":
    main()
