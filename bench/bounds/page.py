"""The tables of docs/limits.md, each between two comments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from bench.bounds.measure import Times
from coord.core.base.build import COMPILED
from coord.core.base.limits import LIMITS

_LIMITS = "limits"
_TIMES = "times"


def rewritten(page: str, times: Iterable[Times]) -> str:
    """The page with both tables made anew."""
    return _put(with_limits(page), _TIMES, _times_table(times))


def with_limits(page: str) -> str:
    """The page with the table of limits made anew."""
    return _put(page, _LIMITS, _limits_table())


def _put(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{table}{end}{after}"


def _limits_table() -> str:
    rows = [f"| `{name}` | {value:,} |\n" for name, value in sorted(asdict(LIMITS).items())]
    return "| limit | value |\n| --- | ---: |\n" + "".join(rows)


def _times_table(times: Iterable[Times]) -> str:
    core = "compiled core" if COMPILED else "core in plain Python"
    rows = [f"| {one.name} | {one.median_ms:.1f} | {one.worst_ms:.1f} |\n" for one in times]
    head = f"| request, {core} | median, ms | worst, ms |\n| --- | ---: | ---: |\n"
    return head + "".join(rows)
