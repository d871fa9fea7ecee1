"""`coord quota`: how large the state is, and may become."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from coord.cli.exits import USAGE, CommandError
from coord.cli.output import byte_count
from coord.cli.remote import Remote, group, remote
from coord.client import Quota

app = group("quota", "How large the state of the cluster is, and may become.")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,18})\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if found is None:
        raise CommandError(f"{text!r} is not a size: 4GiB, 512MiB, or a number of bytes", USAGE)
    return int(found[1]) * _UNITS[found[2]]


@remote(app, "show")
async def show(cli: Remote) -> None:
    """Show how much memory the state takes, its limit, and whether the alarm is on."""
    async with cli.client() as client:
        _show(cli, await client.cluster.quota())


@remote(app, "set")
async def set_quota(
    cli: Remote,
    size: Annotated[
        str,
        typer.Argument(metavar="SIZE", help="4GiB, 512MiB, bytes; 0 = what the machines have."),
    ],
) -> None:
    """Set how large the state may become. At the limit new tasks and keys are refused."""
    limit_bytes = _bytes(size)
    async with cli.client() as client:
        _show(cli, await client.cluster.set_quota(limit_bytes))


def _show(cli: Remote, quota: Quota) -> None:
    if cli.out.is_json:
        cli.out.json(
            {
                "bytes": quota.bytes,
                "limit_bytes": quota.limit_bytes,
                "alarm": quota.alarm,
                "automatic": quota.automatic,
            }
        )
        return
    cli.out.facts(
        {
            "state": byte_count(quota.bytes),
            "limit": byte_count(quota.limit_bytes)
            + (" (a share of the leader's memory)" if quota.automatic else ""),
            "alarm": "on: new tasks and keys are refused" if quota.alarm else "off",
        }
    )
