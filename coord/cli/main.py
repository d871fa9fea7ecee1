"""`coord`: looking at a cluster and working with it from a terminal.

Every command is in the module of its group; here they are put together, and here every error ends
as one line and an exit code.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from coord.cli import (
    cluster,
    digest,
    kv,
    leader,
    lock,
    member,
    node,
    queue,
    quota,
    session,
    status,
    task,
    worker,
)
from coord.cli.exits import INTERRUPTED, REFUSED, USAGE, CommandError, explain
from coord.cli.remote import Common, EndpointsOption, OutputOption, TimeoutOption
from coord.client.transport.errors import CoordError
from coord.terminal.entry import WrongUsageError, complain, leave_a_broken_pipe, run_app
from coord.terminal.help import PlainGroup
from coord.terminal.text import os_reason

app = typer.Typer(
    name="coord",
    cls=PlainGroup,
    help="A replicated coordination store for fleets of agents.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coord {metadata.version('coord-store')}")
        raise typer.Exit


@app.callback()
def common_options(
    ctx: typer.Context,
    endpoints: EndpointsOption = None,
    output: OutputOption = None,
    timeout_ms: TimeoutOption = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Options before the command's name hold for the command; those behind it win."""
    ctx.obj = Common(endpoints or os.environ.get("COORD_ENDPOINTS"), output, timeout_ms)


status.register(app)
for commands in (task.app, queue.app, worker.app, session.app, lock.app, kv.app):
    app.add_typer(commands)
digest.register(app)
app.add_typer(cluster.app)
app.add_typer(leader.app)
app.add_typer(member.app)
app.add_typer(quota.app)
node.register(app)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 refused or not found, 2 usage, 3 unreachable."""
    sys.exit(_run())


def _run() -> int:
    try:
        return run_app(app, "coord")
    except CommandError as error:
        failure = error
    except CoordError as error:
        failure = explain(error)
    except WrongUsageError as error:
        failure = CommandError(str(error), USAGE)
    except UnicodeEncodeError:
        failure = CommandError("an argument is not valid UTF-8", USAGE)
    except ValueError as error:  # a number that the protocol has no room for
        failure = CommandError(str(error), USAGE)
    except BrokenPipeError:
        leave_a_broken_pipe()
        return REFUSED
    except OSError as error:
        failure = CommandError(os_reason(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    complain(str(failure))
    return failure.code
