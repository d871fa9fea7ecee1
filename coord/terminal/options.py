"""Options of commands that are numbers: what help shows of them, and how they are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import typer


def whole(
    *names: str,
    help: str,  # noqa: A002 - typer's name
    low: int = 0,
    high: int | None = None,
    metavar: str = "N",
    show_default: bool | str = True,
) -> Any:
    """An option that takes a whole number from `low` to `high`."""
    return typer.Option(
        *names,
        parser=_within(int, "a whole number", low, high),
        metavar=metavar,
        help=help,
        show_default=show_default,
    )


def decimal(
    *names: str,
    help: str,  # noqa: A002 - typer's name
    low: float = 0,
    high: float | None = None,
    metavar: str = "N",
    show_default: bool | str = True,
) -> Any:
    """An option that takes a number, also one with a fraction."""
    return typer.Option(
        *names,
        parser=_within(float, "a number", low, high),
        metavar=metavar,
        help=help,
        show_default=show_default,
    )


def _within(
    kind: Callable[[Any], Any], what: str, low: float, high: float | None
) -> Callable[[Any], Any]:
    bounds = f"from {low:,} to {high:,}" if high is not None else f"of at least {low:,}"

    def read(value: Any) -> Any:
        try:
            number = kind(value)
        except (ValueError, OverflowError):
            number = None
        if number is None or not math.isfinite(number) or not low <= number <= (high or number):
            raise typer.BadParameter(f"must be {what} {bounds}, not {value!r}")
        return number

    return read
