"""The commands of `scripts/cluster`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coord.localcluster.cluster import (
    DEFAULT_BASE_PORT,
    DEFAULT_NODES,
    LocalCluster,
    NodeStatus,
    default_directory,
)
from coord.localcluster.errors import LocalClusterError
from coord.localcluster.processes import ProcessState
from coord.terminal.interrupts import take_interrupts

app = typer.Typer(
    name="scripts/cluster",
    help="A local cluster in the background.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Directory = Annotated[
    Path,
    typer.Option("--dir", help="Where the cluster keeps everything.", show_default=False),
]
NodeId = Annotated[str, typer.Argument(metavar="NODE", help="Node id, such as n1.")]
SomeNode = Annotated[str, typer.Argument(metavar="[NODE]", help="Node id; none = all.")]
HERE = default_directory()


@app.command()
def up(
    directory: Directory = HERE,
    nodes: Annotated[
        int | None, typer.Option(help=f"How many nodes.  [default: {DEFAULT_NODES}]")
    ] = None,
    base_port: Annotated[
        int | None,
        typer.Option(help=f"Client port of the first node.  [default: {DEFAULT_BASE_PORT}]"),
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


@app.command()
def down(
    directory: Directory = HERE,
    wipe: Annotated[bool, typer.Option("--wipe", help="Also remove the data.")] = False,
) -> None:
    """Stop every node; no process is left. The data stays unless --wipe is given."""
    stopped = LocalCluster(directory).down(wipe=wipe)
    say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def status(directory: Directory = HERE) -> None:
    """Show every node and its process."""
    show(LocalCluster(directory).status())


@app.command()
def kill(node: NodeId, directory: Directory = HERE) -> None:
    """SIGKILL a node."""
    LocalCluster(directory).kill(node)
    say(f"killed {node}")


@app.command()
def stop(node: NodeId, directory: Directory = HERE) -> None:
    """SIGTERM a node and wait for its orderly end."""
    LocalCluster(directory).stop(node)
    say(f"stopped {node}")


@app.command()
def pause(node: NodeId, directory: Directory = HERE) -> None:
    """SIGSTOP a node: it stands still and keeps its connections."""
    LocalCluster(directory).pause(node)
    say(f"paused {node}")


@app.command()
def resume(node: NodeId, directory: Directory = HERE) -> None:
    """SIGCONT a paused node."""
    LocalCluster(directory).resume(node)
    say(f"resumed {node}")


@app.command()
def start(node: SomeNode = "", directory: Directory = HERE) -> None:
    """Start a node, or all that are down."""
    started = LocalCluster(directory).start(node or None)
    say(f"started {', '.join(started)}" if started else "already running")


@app.command()
def add(directory: Directory = HERE) -> None:
    """Add a node: start it, let it catch up and vote."""
    begun = time.monotonic()
    cluster = LocalCluster(directory)
    node = cluster.add()
    say(f"added {node}; it votes after {seconds_since(begun)} s")
    say(f"export COORD_ENDPOINTS={','.join(cluster.endpoints)}")


@app.command()
def remove(node: NodeId, directory: Directory = HERE) -> None:
    """Take a node out of the cluster, up or down, and forget its data."""
    LocalCluster(directory).remove(node)
    say(f"removed {node}")


@app.command()
def restart(node: SomeNode = "", directory: Directory = HERE) -> None:
    """Stop and start a node in good order, or all of them one after another."""
    LocalCluster(directory).restart(node or None)
    say(f"restarted {node or 'all nodes'}")


@app.command()
def logs(
    node: SomeNode = "",
    directory: Directory = HERE,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many lines.")] = 50,
) -> None:
    """Print the last log lines of a node, or of all."""
    cluster = LocalCluster(directory)
    names = [node] if node else cluster.node_ids
    for name in names:
        prefix = f"{name}: " if len(names) > 1 else ""
        for line in cluster.logs(name, lines):
            say(prefix + line)


@app.command()
def endpoints(directory: Directory = HERE) -> None:
    """Print the client addresses, as COORD_ENDPOINTS wants them."""
    say(",".join(LocalCluster(directory).endpoints))


def say(line: str) -> None:
    typer.echo(line)


def seconds_since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f}"


def show(nodes: list[NodeStatus]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NODE", "STATE", "ROLE", "TERM", "APPLIED", "PID", "CLIENTS", "PEERS"):
        table.add_column(column, no_wrap=True)
    colours = {
        ProcessState.RUNNING: "green",
        ProcessState.PAUSED: "yellow",
        ProcessState.DOWN: "red",
    }
    for node in nodes:
        answers = bool(node.role)
        table.add_row(
            node.node_id,
            Text(node.state.value, style=colours[node.state]),
            node.role or "-",
            str(node.term) if answers else "-",
            str(node.applied_index) if answers else "-",
            str(node.pid) if node.pid else "-",
            node.client_address,
            node.peer_address,
        )
    console.print(table)


def main() -> None:
    """Entry point: every foreseeable error is one line on standard error and exit code 1."""
    take_interrupts()
    try:
        app(prog_name="scripts/cluster")
    except LocalClusterError as error:
        typer.echo(f"error: {error}", err=True)
    except OSError as error:
        typer.echo(f"error: {error.filename or ''}: {error.strerror or error}", err=True)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    else:
        return
    sys.exit(1)


if __name__ == "__main__":
    main()
