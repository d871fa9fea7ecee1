"""`coord serve` and `coord dev`: running nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from coord.cli.exits import USAGE, CommandError
from coord.cli.output import pairs
from coord.terminal.help import PlainCommand
from coord.terminal.interrupts import take_interrupts
from coord.terminal.options import whole

LOG_LEVELS = ("debug", "info", "warning", "error")


def register(app: typer.Typer) -> None:
    app.command("serve", cls=PlainCommand)(serve)
    app.command("dev", cls=PlainCommand)(dev)


def serve(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with any of the settings.")
    ] = None,
    node_id: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of this node, such as n1.")
    ] = None,
    cluster_id: Annotated[
        str | None, typer.Option(metavar="NAME", help="The same on every node.")
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="A directory of this node's own.")
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=PEER,CLIENT",
            help="One per node, this one included: n1=10.0.0.1:7500,10.0.0.1:7400.",
        ),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="For clients, if not the advertised.")
    ] = None,
    peer_listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="For peers, if not the advertised.")
    ] = None,
    in_memory: Annotated[
        bool, typer.Option("--in-memory", help="Keep nothing on disk; one node only.")
    ] = False,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="console or json.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, such as election_timeout_ms=800.",
        ),
    ] = None,
) -> None:
    """Run one node until SIGTERM or Ctrl-C.

    Settings come from these options, else from the environment (COORD_NODE_ID, ...), else from
    the file. Every mistake is named before anything is started."""
    from coord.node.config import ConfigError, load_config
    from coord.node.serve import run

    take_interrupts()
    flags: dict[str, Any] = {
        "node_id": node_id,
        "cluster_id": cluster_id,
        "data_dir": data_dir,
        "members": ";".join(member) if member else None,
        "listen": listen,
        "peer_listen": peer_listen,
        "in_memory": in_memory or None,
        "log_level": log_level,
        "log_format": log_format,
    }
    try:
        settings = load_config(flags | pairs(setting or (), "--set"), config)
    except ConfigError as error:
        raise CommandError("; ".join(error.lines), USAGE) from error
    raise typer.Exit(run(settings))


def dev(
    nodes: Annotated[
        int | None, whole("--nodes", low=1, high=9, help="How many nodes.", show_default="3")
    ] = None,
    base_port: Annotated[
        int | None,
        whole(
            "--base-port",
            low=1,
            high=65_535,
            metavar="PORT",
            help="Client port of the first node.",
            show_default="7400",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keeps the data.", show_default="a temporary directory"),
    ] = None,
    log_level: Annotated[
        str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")
    ] = "info",
) -> None:
    """Run a whole cluster in this terminal until Ctrl-C, for trying things out.

    A node that dies is started again. Without --data-dir nothing is kept."""
    from coord.node.config import ConfigError
    from coord.node.dev import DevError, run

    take_interrupts()
    if log_level not in LOG_LEVELS:
        raise CommandError(
            f"--log-level must be {' or '.join(LOG_LEVELS)}, not {log_level!r}", USAGE
        )
    try:
        code = run(data_dir, base_port=base_port, nodes=nodes, log_level=log_level)
    except ConfigError as error:
        raise CommandError("; ".join(error.lines), USAGE) from error
    except DevError as error:
        raise CommandError(str(error)) from error
    raise typer.Exit(code)
