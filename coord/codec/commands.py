"""Request messages -> core commands. Enforces the shape and nothing else: bounds are the business
of `coord.core.validate`.

An item is read attribute by attribute once and no list is copied twice: this is on the path of
every task. In a log entry these bytes were decoded before by the leader that accepted them, so
there a DecodeError means damage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message

from coord.codec import cluster, kv, locks, sessions, tasks
from coord.codec.errors import DecodeError, UnknownCommandError
from coord.codec.kinds import REQUEST_CLASS, CommandKind, Decoder
from coord.codec.shape import check_bytes, check_counts
from coord.core.base.request import RequestId
from coord.core.batch import Command

K = CommandKind


Decode = Callable[[int, bytes], Command]


class DecoderRow(NamedTuple):
    """How a kind is decoded: what parses the bytes and may raise protobuf's DecodeError, what makes
    the command of the message, and the message's name."""

    parse: Callable[[bytes], Message]
    build: Callable[[Any], Command]
    name: str


def decode(kind: int, raw: bytes) -> Command:
    """The command in `raw`, the bytes of the request message of this kind.

    Raises DecodeError (one sentence) or UnknownCommandError."""
    row = _row(DECODERS, kind)
    return row.build(_message(row, raw))


def decoder(rows: Mapping[int, DecoderRow]) -> Decode:
    """`decode` for these kinds, which may be others than the product's `DECODERS`."""

    def decode_row(kind: int, raw: bytes) -> Command:
        row = _row(rows, kind)
        return row.build(_message(row, raw))

    return decode_row


def decode_request(kind: int, raw: bytes) -> tuple[Command, RequestId | None]:
    """The command and the identity in a request that comes in as bytes: see `request_in`.

    Raises DecodeError (one sentence), TooManyPartsError or UnknownCommandError."""
    return request_in(kind, message_in(kind, raw))


def message_in(kind: int, raw: bytes) -> Message:
    """The message in the bytes of a request that comes in: what has far too many parts is not
    decoded. Raises DecodeError (one sentence), TooManyPartsError or UnknownCommandError."""
    row = _row(DECODERS, kind)
    check_bytes(kind, raw)
    return _message(row, raw)


def request_in(kind: int, message: Any) -> tuple[Command, RequestId | None]:
    """The command and the identity in the message's own header (None if it has none or an empty
    one). For etcd kinds the identity is always None here: see `request_id`. Raises DecodeError or
    TooManyPartsError."""
    check_counts(kind, message)
    command = _row(DECODERS, kind).build(message)
    if kind in _WITH_HEADER:
        header = message.header
        return command, request_id(header.session_id, header.sequence, header.acked_below)
    return command, None


def request_id(session_id: int, sequence: int, acked_below: int) -> RequestId | None:
    """None if all three are 0: a call without a session."""
    if session_id or sequence or acked_below:
        return RequestId(session_id, sequence, acked_below)
    return None


def _row(rows: Mapping[int, DecoderRow], kind: int) -> DecoderRow:
    row = rows.get(kind)
    if row is None:
        raise UnknownCommandError(
            f"command kind {kind} is not known to this version; a newer one wrote it: start a "
            "newer build"
        )
    return row


def _message(row: DecoderRow, raw: bytes) -> Message:
    try:
        return row.parse(raw)
    except ProtobufDecodeError as error:
        raise DecodeError(f"not a {row.name}: {error}") from None


_BUILDERS: Final[dict[CommandKind, Decoder]] = {
    **sessions.DECODERS,
    **tasks.DECODERS,
    **locks.DECODERS,
    **kv.DECODERS,
    **cluster.DECODERS,
}

DECODERS: Final[Mapping[int, DecoderRow]] = {
    int(kind): DecoderRow(
        REQUEST_CLASS[kind].FromString, build, REQUEST_CLASS[kind].DESCRIPTOR.name
    )
    for kind, build in _BUILDERS.items()
}


_WITH_HEADER: Final = frozenset(
    int(kind)
    for kind, message in REQUEST_CLASS.items()
    if "header" in message.DESCRIPTOR.fields_by_name
)
