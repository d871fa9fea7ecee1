"""`coord member`: who is in the cluster, and changing it while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from coord.cli.remote import Remote, group, remote
from coord.client import Client, Member

app = group("member", "The members of the cluster.")

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Node id.")]
ClientAddress = Annotated[str, typer.Option("--address", help="host:port for clients.")]
PeerAddress = Annotated[str, typer.Option("--peer-address", help="host:port for the other nodes.")]
Wait = Annotated[
    int, typer.Option("--wait-ms", min=1, help="How long a new node may take to catch up.")
]
CATCH_UP_MS = 60_000


@remote(app, "list")
async def list_members(cli: Remote) -> None:
    """List the members, as the leader has them."""
    async with cli.client() as client:
        _show(cli, await client.cluster.members())


@remote(app, "add")
async def add(
    cli: Remote,
    node: NodeArgument,
    address: ClientAddress,
    peer_address: PeerAddress,
    promote: Annotated[
        bool, typer.Option("--promote", help="Wait until it has caught up, and let it vote.")
    ] = False,
    wait_ms: Wait = CATCH_UP_MS,
) -> None:
    """Take a node in as a learner: it copies the log, and votes only when it is promoted.

    Then start it, with an empty data directory and a configuration whose `members` lists the
    present members and itself. It is safe to do this again."""
    async with cli.client() as client:
        members = await client.cluster.add_member(node, address, peer_address)
        if promote:
            _say(cli, f"{node} is a learner; start it if it does not run yet")
            members = await client.cluster.promote_member(node, timeout_ms=wait_ms)
    _show(cli, members)


@remote(app, "promote")
async def promote_learner(cli: Remote, node: NodeArgument, wait_ms: Wait = CATCH_UP_MS) -> None:
    """Let a learner vote, once it has caught up."""
    async with cli.client() as client:
        _show(cli, await client.cluster.promote_member(node, timeout_ms=wait_ms))


@remote(app, "remove")
async def remove(cli: Remote, node: NodeArgument) -> None:
    """Take a member out; a leader hands over first, and a node that runs stops itself.

    Refused if the nodes that are left and up would be no majority."""
    async with cli.client() as client:
        _show(cli, await client.cluster.remove_member(node))


@remote(app, "replace")
async def replace(
    cli: Remote,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The member that goes.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Node id of the one that comes.")],
    address: ClientAddress,
    peer_address: PeerAddress,
    wait_ms: Wait = CATCH_UP_MS,
) -> None:
    """Put a new node in the place of a dead one: remove OLD, add NEW, let it catch up and vote.

    Start the new node before, or while this waits. If it is interrupted, do it again."""
    async with cli.client() as client:
        if await _has(client, old):
            await client.cluster.remove_member(old)
            _say(cli, f"{old} is removed")
        await client.cluster.add_member(new, address, peer_address)
        _say(cli, f"{new} is a learner; start it if it does not run yet")
        _show(cli, await client.cluster.promote_member(new, timeout_ms=wait_ms))


async def _has(client: Client, node: str) -> bool:
    return any(member.id == node for member in await client.cluster.members())


def _say(cli: Remote, text: str) -> None:
    if not cli.out.is_json:
        cli.out.line(text)


def _show(cli: Remote, members: Sequence[Member]) -> None:
    if cli.out.is_json:
        rows = [
            {
                "id": member.id,
                "address": member.address,
                "peer_address": member.peer_address,
                "learner": member.learner,
            }
            for member in members
        ]
        cli.out.json({"members": rows})
        return
    cli.out.table(
        ("node", "address", "peer address", "votes"),
        [(m.id, m.address, m.peer_address, "no" if m.learner else "yes") for m in members],
    )
