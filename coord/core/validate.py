"""Bounds of `coord.core.base.limits` on a decoded command: `validate` says why it is refused.

Called twice for every command: by a service before it is logged, and by the machine in apply. It
looks at nothing but the command and the feature level, so all nodes agree. Everything here must
give the same answer on every node: no locale, no Unicode tables (they change between Python
versions), no clock.
"""

from __future__ import annotations

from coord.core.base.bounds import MAX_TOKEN, invalid, out_of_range
from coord.core.base.levels import HIGHEST_LEVEL
from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Command
from coord.core.domains import REGISTRY


def validate(command: Command, level: int = HIGHEST_LEVEL) -> Rejected | None:
    """Why `command` is refused (INVALID_ARGUMENT, TOO_LARGE, ...), or None if it is within bounds.

    Reads nothing but the command; the message names the field and what is allowed. For the edge,
    which may be stricter than apply; apply itself asks its domains, at the level in force."""
    return REGISTRY.bounds[type(command)](command, level)


def validate_request_id(request_id: RequestId | None) -> Rejected | None:
    """A sequence counts within a session, so it needs one; `acked_below` cannot be ahead of it."""
    if request_id is None:
        return None
    if not 0 <= request_id.session_id <= MAX_TOKEN:
        return out_of_range("session_id", request_id.session_id, 0, MAX_TOKEN)
    if not 0 <= request_id.sequence <= MAX_TOKEN:
        return out_of_range("sequence", request_id.sequence, 0, MAX_TOKEN)
    if request_id.session_id == 0 and request_id.sequence != 0:
        return invalid("session_id", "sequence is set, so session_id must name an open session")
    if request_id.sequence != 0 and not 0 <= request_id.acked_below <= request_id.sequence:
        return out_of_range("acked_below", request_id.acked_below, 0, request_id.sequence)
    return None
