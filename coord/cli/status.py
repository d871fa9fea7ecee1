"""`coord status`: the members of the cluster and who leads."""

from __future__ import annotations

import typer

from coord.cli.output import Column, byte_count
from coord.cli.remote import LOOK_MS, Remote, remote
from coord.client.transport.errors import CoordError

# Somebody is there, or it cannot be said yet whether there is.
SLOW = {"DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT"}
PATIENCE_MS = 5_000


def register(app: typer.Typer) -> None:
    remote(app, "status")(show_status)


async def show_status(cli: Remote) -> None:
    """Show the members of the cluster, who leads and how far each has got.

    Any one node that is up can answer; also without a leader."""
    async with cli.client(usual_timeout_ms=LOOK_MS) as client:
        try:
            status = await client.cluster.status()
        except CoordError as error:
            if error.reason not in SLOW or cli.timeout_is_given:
                raise
            status = await client.cluster.status(timeout_ms=PATIENCE_MS)
    if cli.out.is_json:
        cli.out.json(
            {
                "cluster_id": status.cluster_id,
                "leader": status.leader,
                "term": status.term,
                "revision": status.revision,
                "state_bytes": status.state_bytes,
                "quota_bytes": status.quota_bytes,
                "quota_alarm": status.quota_alarm,
                "members": [
                    {
                        "id": member.id,
                        "address": member.address,
                        "peer_address": member.peer_address,
                        "role": member.role,
                        "term": member.term,
                        "commit_index": member.commit_index,
                        "applied_index": member.applied_index,
                        "checked_index": member.checked_index,
                        "reachable": member.reachable,
                        "version": member.version,
                        "alarms": list(member.alarms),
                        "note": member.note,
                    }
                    for member in status.members
                ],
            }
        )
        return
    leader = status.leader or "none"
    cli.out.line(
        f"cluster {status.cluster_id}  leader {leader}  term {status.term}"
        f"  revision {status.revision}"
    )
    if status.quota_alarm:
        cli.out.line(
            f"ALARM: the state takes {byte_count(status.state_bytes)} of "
            f"{byte_count(status.quota_bytes)}; new tasks and keys are refused (`coord quota show`)"
        )
    cli.out.table(
        (
            "node",
            "address",
            "role",
            "term",
            "commit",
            "applied",
            Column("checked", rank=2),
            Column("version", rank=1),
        ),
        [
            (
                m.id,
                m.address,
                m.role,
                m.term,
                m.commit_index,
                m.applied_index,
                m.checked_index,
                m.version,
            )
            if m.reachable
            else (m.id, m.address, "unreachable", "", "", "", "", "")
            for m in status.members
        ],
    )
    for member in status.members:
        if member.alarms:
            cli.out.line(f"alarm on {member.id}: {', '.join(member.alarms)}")
        if member.note:
            cli.out.line(f"{member.id}: {member.note}")
