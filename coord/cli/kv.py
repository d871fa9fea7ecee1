"""`coord kv`: keys and values."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coord.cli.exits import REFUSED, USAGE, CommandError
from coord.cli.output import bytes_cell, bytes_json, raw, read_value
from coord.cli.remote import Remote, group, remote
from coord.client import KeyValue

app = group("kv", "Keys and values.")

Key = Annotated[str, typer.Argument(metavar="KEY")]
Prefix = Annotated[bool, typer.Option("--prefix", help="All keys that begin with KEY.")]


@remote(app, "get")
async def get(
    cli: Remote,
    key: Key,
    prefix: Prefix = False,
    value_only: Annotated[
        bool, typer.Option("--value-only", help="Exactly the bytes of the value, nothing else.")
    ] = False,
) -> None:
    """Show a key, or all keys with a prefix. Exit 1 when the one key does not exist."""
    if prefix and value_only:
        raise CommandError("--value-only shows one key; leave out --prefix", USAGE)
    async with cli.client() as client:
        if prefix:
            found = await client.kv.get_prefix(key)
        else:
            one = await client.kv.get(key)
            if one is None:
                raise CommandError(f"no key {key!r}", REFUSED)
            found = [one]
    if value_only:
        raw(found[0].value)
    elif cli.out.is_json:
        cli.out.json({"kvs": [kv_json(kv) for kv in found]})
    else:
        cli.out.table(
            ("key", "value", "version", "created at", "modified at"),
            [
                (
                    bytes_cell(kv.key),
                    bytes_cell(kv.value),
                    kv.version,
                    kv.create_revision,
                    kv.mod_revision,
                )
                for kv in found
            ],
        )


@remote(app, "put")
async def put(
    cli: Remote,
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="TEXT|@FILE|-", help="The value; - reads standard input.")
    ],
) -> None:
    """Set a key."""
    content = read_value(value)
    async with cli.client() as client:
        revision = await client.kv.put(key, content)
    if cli.out.is_json:
        cli.out.json({"key": key, "revision": revision})
    else:
        cli.out.line(f"revision {revision}")


@remote(app, "del")
async def delete(cli: Remote, key: Key, prefix: Prefix = False) -> None:
    """Delete a key, or all keys with a prefix. Exit 1 when the one key does not exist."""
    async with cli.client() as client:
        if prefix:
            deleted = int(await client.kv.delete_prefix(key))
        else:
            deleted = int(await client.kv.delete(key))
    if not deleted and not prefix:
        raise CommandError(f"no key {key!r}", REFUSED)
    if cli.out.is_json:
        cli.out.json({"deleted": deleted})
    else:
        cli.out.line(f"{deleted} deleted")


def kv_json(kv: KeyValue) -> dict[str, Any]:
    return {
        **bytes_json("key", kv.key),
        **bytes_json("value", kv.value),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
        "version": kv.version,
        "lease": kv.lease,
    }
