"""What travels between a worker and the process of a task that is run apart, as JSON."""

from __future__ import annotations

import base64
from typing import Any

from agentnode.outcome import Done, Failed, Outcome, Stopped, Unhandled
from agentnode.ports import ClaimedTask, CoordError, DefiniteError, IndefiniteError

_BYTES = ("payload", "checkpoint")


def bytes_to_json(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def bytes_from_json(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def claim_to_json(claim: ClaimedTask) -> dict[str, Any]:
    fields = claim._asdict()
    fields["labels"] = dict(claim.labels)
    for name in _BYTES:
        fields[name] = bytes_to_json(fields[name])
    return fields


def claim_from_json(fields: dict[str, Any]) -> ClaimedTask:
    return ClaimedTask(**{**fields, **{name: bytes_from_json(fields[name]) for name in _BYTES}})


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Done(result):
            return {"done": bytes_to_json(result)}
        case Failed(error, retryable, retry_after_ms):
            return {"failed": [error, retryable, retry_after_ms]}
        case Unhandled(reason):
            return {"unhandled": reason}
        case Stopped():
            return {}


def outcome_from_json(fields: dict[str, Any]) -> Outcome:
    if "done" in fields:
        return Done(bytes_from_json(fields["done"]) or b"")
    if "failed" in fields:
        return Failed(*fields["failed"])
    return Unhandled(fields["unhandled"]) if "unhandled" in fields else Stopped()


def error_to_json(error: CoordError) -> dict[str, Any]:
    return {
        "message": error.message,
        "reason": error.reason,
        "retryable": error.retryable,
        "definite": error.definite,
    }


def error_from_json(fields: dict[str, Any]) -> CoordError:
    kind = DefiniteError if fields["definite"] else IndefiniteError
    return kind(fields["message"], fields["reason"], retryable=fields["retryable"])
