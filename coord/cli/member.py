"""`coord member`: who is in the cluster, and changing it while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from coord.cli.exits import USAGE, CommandError
from coord.cli.output import Column
from coord.cli.remote import Remote, group, is_endpoint, remote
from coord.client import Member
from coord.terminal.options import whole

app = group("member", "The members of the cluster.")

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Node id.")]
ClientAddress = Annotated[
    str, typer.Option("--address", metavar="HOST:PORT", help="Where clients reach it.")
]
PeerAddress = Annotated[
    str, typer.Option("--peer-address", metavar="HOST:PORT", help="Where the other nodes reach it.")
]
Wait = Annotated[
    int,
    whole("--wait-ms", low=1, high=86_400_000, help="How long a new node may take to catch up."),
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
    check_addresses(address, peer_address)
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
        if all(member.id != node for member in await client.cluster.members()):
            raise CommandError(f"there is no member {node!r} (UNKNOWN_MEMBER)")
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
    if old == new:
        raise CommandError(
            f"OLD and NEW are both {old!r}: the new node needs an id of its own", USAGE
        )
    check_addresses(address, peer_address)
    async with cli.client() as client:
        if check_replacement(await client.cluster.members(), old, new, address, peer_address):
            await client.cluster.remove_member(old)
            _say(cli, f"{old} is removed")
        await client.cluster.add_member(new, address, peer_address)
        _say(cli, f"{new} is a learner; start it if it does not run yet")
        _show(cli, await client.cluster.promote_member(new, timeout_ms=wait_ms))


def check_addresses(address: str, peer_address: str) -> None:
    """A usage error for what cannot be two addresses of one node."""
    for option, value in (("--address", address), ("--peer-address", peer_address)):
        if not is_endpoint(value):
            raise CommandError(f"{option} must be HOST:PORT, not {value!r}", USAGE)
    if address == peer_address:
        raise CommandError(
            "--address and --peer-address must differ: clients and peers need a port each", USAGE
        )


def check_replacement(
    members: Sequence[Member], old: str, new: str, address: str, peer_address: str
) -> bool:
    """Whether OLD is still to be removed. Whatever would be refused later is refused before
    anything is changed."""
    known = {member.id: member for member in members}
    there = known.get(new)
    if there is not None and (there.address, there.peer_address) != (address, peer_address):
        raise CommandError(
            f"{new} is a member already, at {there.address} and {there.peer_address}; "
            "give the new node another id"
        )
    if there is not None and not there.learner and old in known:
        raise CommandError(
            f"{new} is a member that votes already; 'coord member remove {old}' is left"
        )
    taken = {
        one: member.id
        for member in members
        if member.id not in {old, new}
        for one in (member.address, member.peer_address)
    }
    for one in (address, peer_address):
        if one in taken:
            raise CommandError(f"{one} is the address of {taken[one]}")
    if old not in known and there is None:
        raise CommandError(
            f"there is no member {old!r}, only {', '.join(sorted(known))}; if it is removed "
            f"already, go on with 'coord member add {new} ... --promote'"
        )
    return old in known


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
        ("node", "address", Column("peer address", rank=1), "votes"),
        [(m.id, m.address, m.peer_address, "no" if m.learner else "yes") for m in members],
    )
