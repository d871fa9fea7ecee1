"""Reads that need not be the newest: the options that ask for them, and how old the answer is."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from coord.client import Stale
from coord.terminal.options import whole

HoweverOld = Annotated[
    bool,
    typer.Option(
        "--stale",
        help="Read what the first endpoint that answers has, however old; also without a leader.",
    ),
]
AtMost = Annotated[
    int | None,
    whole(
        "--max-stale-ms",
        high=86_400_000,
        help="As --stale, but no older than this.",
        show_default=False,
    ),
]


def staleness(stale: bool, max_stale_ms: int | None) -> Stale | None:
    """What the options ask for; None: the newest."""
    return Stale(max_stale_ms) if stale or max_stale_ms is not None else None


def age_json(stale: Stale | None) -> dict[str, Any]:
    """What JSON says beside the answer."""
    if stale is None:
        return {}
    return {"stale": {"age_ms": stale.age_ms, "applied_index": stale.applied_index}}


def show_age(stale: Stale | None) -> None:
    """Say beside the answer, on standard error, how old it can be."""
    if stale is not None:
        age = "unknown" if stale.age_ms is None else f"up to {stale.age_ms} ms"
        sys.stderr.write(f"age: {age} (applied index {stale.applied_index})\n")
