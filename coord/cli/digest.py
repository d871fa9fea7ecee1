"""`coord digest`: whether all nodes have the same state."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import typer

from coord.cli.exits import UNREACHABLE, CommandError
from coord.cli.output import Column
from coord.cli.remote import Remote, remote
from coord.client import Client, NodeDigest

# Nodes that follow a busy leader are caught at one index only after some tries.
TRIES = 10
PAUSE_SECONDS = 0.2
SHOWN = 16


def register(app: typer.Typer) -> None:
    remote(app, "digest")(compare)


async def compare(cli: Remote) -> None:
    """Compare the states of all nodes.

    Waits shortly until all that answer have applied the same index. Exit 1 when states differ, or
    when the nodes could not be brought to one index."""
    async with cli.client() as client:
        nodes = await at_one_index(client)
    answered = [node for node in nodes if node.error is None]
    differing = disagreement(answered)
    equal = None if len({node.applied_index for node in answered}) > 1 else not differing
    if not answered:
        raise CommandError("no node answered", UNREACHABLE)
    show(cli, nodes, equal=False if differing else equal)
    if differing:
        raise CommandError(f"the states differ at index {differing[0]}")
    if equal is None:
        raise CommandError("the nodes did not reach one index; nothing can be said")


async def at_one_index(client: Client) -> Sequence[NodeDigest]:
    """The digests once all that answer are at one index, or as they were at the last try."""
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(PAUSE_SECONDS)
        nodes = await client.cluster.digests()
        answered = [node for node in nodes if node.error is None]
        if len({node.applied_index for node in answered}) <= 1 or disagreement(answered):
            break
    return nodes


def disagreement(nodes: Sequence[NodeDigest]) -> list[int]:
    """Applied indexes at which two nodes have different states; there must be none."""
    seen: dict[int, set[str]] = defaultdict(set)
    for node in nodes:
        seen[node.applied_index].add(node.digest)
    return sorted(index for index, digests in seen.items() if len(digests) > 1)


def show(cli: Remote, nodes: Sequence[NodeDigest], *, equal: bool | None) -> None:
    if cli.out.is_json:
        cli.out.json(
            {
                "equal": equal,
                "nodes": [
                    {
                        "id": node.node_id,
                        "address": node.address,
                        "reachable": node.error is None,
                        "applied_index": node.applied_index,
                        "revision": node.revision,
                        "digest": node.digest,
                        "error": str(node.error) if node.error else "",
                    }
                    for node in nodes
                ],
            }
        )
        return
    cli.out.table(
        ("node", Column("address", rank=1), "applied", "revision", "digest"),
        [
            (node.node_id, node.address, node.applied_index, node.revision, node.digest[:SHOWN])
            if node.error is None
            else (node.node_id, node.address, "", "", "unreachable")
            for node in nodes
        ],
    )
