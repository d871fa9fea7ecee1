"""`coord leader`: who leads."""

from __future__ import annotations

from typing import Annotated

import typer

from coord.cli.remote import Remote, group, remote

app = group("leader", "Who leads the cluster.")


@remote(app, "transfer")
async def transfer(
    cli: Remote,
    target: Annotated[
        str,
        typer.Argument(metavar="[NODE]", help="Node id; without one, the most caught-up follower."),
    ] = "",
) -> None:
    """Hand leadership to another node, and return when it leads."""
    async with cli.client() as client:
        result = await client.cluster.transfer_leader(target)
    if cli.out.is_json:
        cli.out.json({"leader": result.leader, "term": result.term})
    else:
        cli.out.line(f"{result.leader} leads in term {result.term}")
