"""`coord cluster`: what holds for the cluster as a whole."""

from __future__ import annotations

from typing import Annotated

from coord.cli.remote import Remote, group, remote
from coord.client import FeatureLevel
from coord.terminal.options import whole

app = group("cluster", "What holds for the cluster as a whole.")
level_app = group("level", "The feature level: which rules and commands the cluster follows.")
app.add_typer(level_app)


@remote(level_app, "show")
async def show(cli: Remote) -> None:
    """Show the level in force, and the levels that the members' builds support."""
    async with cli.client() as client:
        _show(cli, await client.cluster.level())


@remote(level_app, "raise")
async def raise_level(
    cli: Remote,
    level: Annotated[
        int,
        whole("--to", high=1_000, metavar="LEVEL", help="0 means the highest supported."),
    ] = 0,
) -> None:
    """Raise the level once every node runs a build that supports it.

    There is no way back: from then on older builds are refused, and cannot read the data."""
    async with cli.client() as client:
        _show(cli, await client.cluster.raise_level(level))


def _show(cli: Remote, found: FeatureLevel) -> None:
    if cli.out.is_json:
        members = [{"id": node, "highest": highest} for node, highest in found.members.items()]
        cli.out.json({"level": found.level, "highest": found.highest, "members": members})
        return
    cli.out.line(f"level {found.level}; the leader's build supports levels up to {found.highest}")
    cli.out.table(
        ("node", "supports"),
        [(node, "not connected" if top is None else top) for node, top in found.members.items()],
    )
