"""A domain that the product does not have: counters, some of which expire. Its registration, the
bytes of its command in the log, and the build of a node that knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import msgpack

from coord.codec.commands import DECODERS, DecoderRow, decoder
from coord.codec.errors import DecodeError
from coord.core.base.context import Context
from coord.core.base.invariants import invariant
from coord.core.base.mixing import mix_plain
from coord.core.base.refusal import Reason, Rejected
from coord.core.base.request import Done
from coord.core.base.table import GivenRow, Row, Table
from coord.core.base.timers import TimerKind
from coord.core.batch import Command, Reply
from coord.core.domain import Domain
from coord.core.domains import DOMAINS
from coord.core.state import State

COUNT_KIND: Final = 200  # in the log
EXPIRY: Final = cast("TimerKind", 100)


@dataclass(slots=True)
class Count:
    """Add to a counter, and have it forgotten `ttl_ms` later (0: never)."""

    name: str
    by: int
    ttl_ms: int = 0


class Counter(NamedTuple):
    """`expires_at_ms`: in cluster time; 0: never."""

    value: int
    expires_at_ms: int


Counters = Table[str, Counter]


def counters_of(state: State) -> Counters:
    counters: Counters = state.parts["counters"]
    return counters


def count(ctx: Context, counters: Counters, command: Count) -> Reply:
    revision = ctx.next_revision()
    expires_at_ms = ctx.now_ms + command.ttl_ms if command.ttl_ms else 0
    if command.name in counters:
        value = counters[command.name].value + command.by
        counters.replace(command.name, Counter(value, expires_at_ms))
    else:
        counters.insert(command.name, Counter(command.by, expires_at_ms))
    arm(ctx, counters, command.name)
    return Done(revision)


def arm(ctx: Context, counters: Counters, name: str) -> None:
    expires_at_ms = counters[name].expires_at_ms
    if expires_at_ms:
        ctx.timers.arm(EXPIRY, name, expires_at_ms)
    else:
        ctx.timers.disarm(EXPIRY, name)


def expire(ctx: Context, counters: Counters, name: str) -> None:
    ctx.next_revision()
    counters.remove(name)


def settle(ctx: Context, counters: Counters, command: Count, session_id: int) -> None:
    known = counters.get(command.name)
    if known is not None and 0 < known.expires_at_ms <= ctx.now_ms:
        ctx.timers.disarm(EXPIRY, command.name)
        expire(ctx, counters, command.name)


def rebuild(ctx: Context, counters: Counters) -> None:
    for name in counters:
        arm(ctx, counters, name)


def within(command: Any, level: int) -> Rejected | None:
    if command.by > 0:
        return None
    return Rejected(Reason.INVALID_ARGUMENT, f"by is {command.by}; allowed is 1 and up")


def check(state: State) -> None:
    for name, counter in counters_of(state).items():
        invariant(counter.value > 0, "a counter only grows", name)


def encode(name: str, counter: Counter) -> Row:
    return (name, *counter)


def decode_row(row: GivenRow) -> tuple[str, Counter]:
    name, value, expires_at_ms = row
    return name, Counter(value, expires_at_ms)


COUNTERS: Final = Domain(
    "counters",
    handlers={Count: count},
    bounds={Count: within},
    digests={Count: lambda crc, command: mix_plain(crc, (command.name, command.by))},
    settle={Count: settle},
    due={EXPIRY: expire},
    rebuild=rebuild,
    check=check,
    tables=lambda limits, parts: Table("counters", encode, decode_row, place=1_000),
)
WITH_COUNTERS: Final = (*DOMAINS, COUNTERS)


# ---- in the log


def encode_count(command: Count) -> bytes:
    data: bytes = msgpack.packb([command.name, command.by, command.ttl_ms])
    return data


def _parse(raw: bytes) -> list[Any]:
    try:
        message = msgpack.unpackb(raw)
    except (ValueError, msgpack.UnpackException) as error:
        raise DecodeError(f"not a Count: {error}") from None
    if not isinstance(message, list) or len(message) != 3:
        raise DecodeError("not a Count: it is no list of three")
    return message


def _build(message: list[Any]) -> Command:
    return cast("Command", Count(*message))


_ROW: Final = DecoderRow(cast("Callable[[bytes], Any]", _parse), _build, "Count")
decode_with_counters: Final = decoder({**DECODERS, COUNT_KIND: _ROW})
