"""What decoding can raise. Nothing else may come out of this package for any bytes."""

from __future__ import annotations

from coord.core.base.refusal import Rejected


class CodecError(Exception):
    """Base. Bytes could not be understood; nothing was changed."""


class DecodeError(CodecError):
    """A request, or an envelope around requests, has not the shape it should have. Definite.

    From a client: its call is refused. From the log: the entry is damaged, the node must stop."""


class TooManyPartsError(DecodeError):
    """A request has more parts than are allowed, and was not decoded. Definite."""

    def __init__(self, refusal: Rejected) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class UnknownCommandError(CodecError):
    """A log entry of a newer version of the program. The node must stop: skipping it would let
    its state differ from the others'."""


class SnapshotDamagedError(CodecError):
    """A snapshot is cut off, changed or out of order; nothing of it may be used."""
