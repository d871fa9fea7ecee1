"""`coord kv`: keys and values."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from coord.cli.exits import REFUSED, USAGE, CommandError
from coord.cli.output import Column, bytes_cell, bytes_json, raw, read_value, to_bytes
from coord.cli.remote import Remote, group, remote
from coord.cli.staleness import AtMost, HoweverOld, age_json, show_age, staleness
from coord.cli.txn_text import parse_condition, parse_operation
from coord.client import (
    Compare,
    Delete,
    DeleteResult,
    Get,
    KeyValue,
    Put,
    PutResult,
    RangeResult,
    TxnResult,
)
from coord.terminal.text import counted

Response = RangeResult | PutResult | DeleteResult | TxnResult

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
    stale: HoweverOld = False,
    max_stale_ms: AtMost = None,
) -> None:
    """Show a key, or all keys with a prefix. Exit 1 when the one key does not exist."""
    if prefix and value_only:
        raise CommandError("--value-only shows one key; leave out --prefix", USAGE)
    if not prefix:
        not_empty(key)
    allowed = staleness(stale, max_stale_ms)
    async with cli.client() as client:
        if prefix:
            found = await client.kv.get_prefix(to_bytes(key), stale=allowed)
        else:
            one = await client.kv.get(to_bytes(key), stale=allowed)
            if one is None:
                show_age(allowed)
                raise CommandError(f"no key {key!r}", REFUSED)
            found = [one]
    if value_only:
        raw(found[0].value)
    elif cli.out.is_json:
        cli.out.json({"kvs": [kv_json(kv) for kv in found], **age_json(allowed)})
    else:
        cli.out.table(
            (
                Column("key", wraps=True),
                Column("value", wraps=True),
                Column("version", rank=2),
                Column("create revision", rank=3),
                Column("mod revision", rank=1),
            ),
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
            "no keys",
        )
    show_age(allowed)


@remote(app, "put")
async def put(
    cli: Remote,
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="TEXT|@FILE|-", help="The value; - reads standard input.")
    ],
) -> None:
    """Set a key."""
    not_empty(key)
    content = read_value(value)
    async with cli.client() as client:
        revision = await client.kv.put(to_bytes(key), content)
    if cli.out.is_json:
        cli.out.json({**bytes_json("key", to_bytes(key)), "revision": revision})
    else:
        cli.out.line(f"revision {revision}")


@remote(app, "del")
async def delete(
    cli: Remote,
    key: Annotated[str, typer.Argument(metavar="[KEY]", show_default=False)] = "",
    prefix: Prefix = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All keys there are; then without KEY.")
    ] = False,
) -> None:
    """Delete a key, or all keys with a prefix. Exit 1 when the one key does not exist."""
    if everything and (key or prefix):
        raise CommandError("--all takes no KEY and no --prefix", USAGE)
    if not everything:
        not_empty(key, "; to delete all keys, say --all" if prefix else "")
    prefix = prefix or everything
    async with cli.client() as client:
        if prefix:
            deleted = int(await client.kv.delete_prefix(to_bytes(key)))
        else:
            deleted = int(await client.kv.delete(to_bytes(key)))
    if not deleted and not prefix:
        raise CommandError(f"no key {key!r}", REFUSED)
    if cli.out.is_json:
        cli.out.json({"deleted": deleted})
    else:
        cli.out.line(f"{counted(deleted, 'key')} deleted")


@remote(app, "txn")
async def transact(
    cli: Remote,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--if", metavar="CONDITION", help="Must hold; may be repeated."),
    ] = None,
    then: Annotated[
        list[str] | None,
        typer.Option("--then", metavar="OPERATION", help="Done if all hold; may be repeated."),
    ] = None,
    otherwise: Annotated[
        list[str] | None,
        typer.Option("--else", metavar="OPERATION", help="Done if not; may be repeated."),
    ] = None,
) -> None:
    """Change several keys at once, if conditions hold.

    A CONDITION is like 'value(KEY) = TEXT', 'version(KEY) = 0', 'mod(KEY) > 7' or
    'create(KEY) != 0'; an OPERATION is 'put KEY VALUE', 'get KEY' or 'del KEY'."""
    compare = [condition(text) for text in conditions or ()]
    success = [operation(text) for text in then or ()]
    failure = [operation(text) for text in otherwise or ()]
    if not success and not failure:
        raise CommandError("nothing to do: give at least one --then or --else", USAGE)
    async with cli.client() as client:
        result = await client.kv.txn(compare, success, failure)
    if cli.out.is_json:
        cli.out.json(
            {
                "succeeded": result.succeeded,
                "revision": result.revision,
                "responses": [response_json(response) for response in result.responses],
            }
        )
        return
    cli.out.line("conditions held" if result.succeeded else "conditions did not hold")
    for response in result.responses:
        cli.out.line(response_line(response))


def not_empty(key: str, advice: str = "") -> None:
    if not key:
        raise CommandError(f"KEY must not be empty{advice}", USAGE)


def condition(text: str) -> Compare:
    field, name, operator, operand = parse_condition(text)
    key = to_bytes(name)
    match field:
        case "value":
            return Compare.value(key, operator, to_bytes(operand))
        case "version":
            return Compare.version(key, operator, int(operand))
        case "create":
            return Compare.create_revision(key, operator, int(operand))
        case _:
            return Compare.mod_revision(key, operator, int(operand))


def operation(text: str) -> Get | Put | Delete:
    match parse_operation(text):
        case ["put", key, value]:
            return Put(to_bytes(key), to_bytes(value))
        case ["get", key]:
            return Get(to_bytes(key))
        case [_, key]:
            return Delete(to_bytes(key))
        case words:
            raise AssertionError(words)


def response_json(response: Response) -> dict[str, Any]:
    match response:
        case RangeResult():
            return {"kind": "get", "kvs": [kv_json(kv) for kv in response.kvs]}
        case DeleteResult():
            return {"kind": "del", "deleted": response.deleted}
        case _:
            return {"kind": "put", "revision": response.revision}


def response_line(response: Response) -> str:
    match response:
        case RangeResult(kvs=()):
            return "get: no such key"
        case RangeResult():
            kv = response.kvs[0]
            return f"get: {bytes_cell(kv.key)} = {bytes_cell(kv.value)}"
        case DeleteResult():
            return f"del: {counted(response.deleted, 'key')} deleted"
        case _:
            return f"put: revision {response.revision}"


def kv_json(kv: KeyValue) -> dict[str, Any]:
    return {
        **bytes_json("key", kv.key),
        **bytes_json("value", kv.value),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
        "version": kv.version,
        "lease": kv.lease,
    }
