"""Side effects that happen at most once, however often their task is attempted.

The store commits a task once, but a handler can run more than once: an agent dies half-way and the
task is claimed again. What a handler does to the outside world is therefore recorded: the intent
before, the outcome after. A later attempt that finds an outcome takes it instead of acting; one
that finds an intent without an outcome cannot know and says so.

Every write compares against the revision it has read, so two attempts that overlap (the older one
does not know yet that it lost its lease) never both begin the same effect. Entries are kept: a
deleted one could let a forgotten attempt act again.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from agentnode.errors import TaskCancelledError, UnfinishedSideEffectError
from agentnode.ports import KvApi

_PREFIX = "agentnode/effects/"
_MAX_NAME_BYTES = 1_024
_NOTHING: dict[str, object] = {"state": "none"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The effect has happened, and this came out."""

    value: Any


@dataclass(frozen=True, slots=True)
class Intent:
    """This attempt may act now, and must then record the outcome."""

    key: str
    mod_revision: int


class SideEffectLedger:
    """The side effects of one attempt. Store errors pass through (`CoordError`)."""

    def __init__(self, kv: KvApi, *, task_id: str, attempt: int, fencing_token: int) -> None:
        self._kv = kv
        self._task_id = task_id
        self._attempt = attempt
        self._fencing_token = fencing_token

    async def begin(self, name: str, *, repeatable: bool) -> Recorded | Intent:
        """Record the intent, or return what an earlier attempt has recorded.

        Raises UnfinishedSideEffectError for an intent without outcome, unless `repeatable`;
        TaskCancelledError when a newer attempt is at it."""
        key = self._key(name)
        while True:
            entry = await self._kv.get(key)
            found = _decode(entry.value) if entry is not None else _NOTHING
            if found["state"] == "done":
                return Recorded(_outcome(found))
            if found["state"] == "intent":
                self._check_unfinished(name, found, repeatable)
            expected = entry.mod_revision if entry is not None else 0
            if not await self._kv.compare_and_set(key, expected, self._entry("intent")):
                continue
            return await self._own_intent(name, key)

    async def finish(self, intent: Intent, value: object) -> Any:
        """Record the outcome and return it as every repeat will see it.

        TypeError or ValueError if the value is neither bytes nor JSON (NaN and Infinity are not);
        the effect then counts as unfinished."""
        fields: dict[str, object]
        if isinstance(value, bytes):
            fields = {"base64": base64.b64encode(value).decode()}
        else:
            fields = {"json": value}
        recorded = self._entry("done", **fields)
        if not await self._kv.compare_and_set(intent.key, intent.mod_revision, recorded):
            raise TaskCancelledError("a newer attempt took over this side effect")
        return _outcome(_decode(recorded))

    async def abandon(self, intent: Intent) -> None:
        """The effect certainly did not happen: take the intent back."""
        await self._kv.compare_and_set(intent.key, intent.mod_revision, self._entry("none"))

    def _check_unfinished(self, name: str, found: dict[str, object], repeatable: bool) -> None:
        token, attempt = found.get("fencing_token"), found.get("attempt")
        if isinstance(token, int) and token > self._fencing_token:
            raise TaskCancelledError("a newer attempt is at this side effect")
        if not repeatable:
            raise UnfinishedSideEffectError(name, attempt if isinstance(attempt, int) else 0)

    async def _own_intent(self, name: str, key: str) -> Intent:
        entry = await self._kv.get(key)
        if entry is None or _decode(entry.value).get("fencing_token") != self._fencing_token:
            raise TaskCancelledError(f"a newer attempt took over side effect {name!r}")
        return Intent(key, entry.mod_revision)

    def _entry(self, state: str, **fields: object) -> bytes:
        head = {"state": state, "attempt": self._attempt, "fencing_token": self._fencing_token}
        return json.dumps({**head, **fields}, separators=(",", ":"), allow_nan=False).encode()

    def _key(self, name: str) -> str:
        if not name or len(name.encode()) > _MAX_NAME_BYTES:
            raise ValueError(f"a side effect's name has 1 to {_MAX_NAME_BYTES} bytes")
        return f"{_PREFIX}{self._task_id}/{name}"


def _decode(value: bytes) -> dict[str, object]:
    entry = json.loads(value)
    if not isinstance(entry, dict) or entry.get("state") not in {"none", "intent", "done"}:
        raise ValueError(f"not an entry of the side-effect ledger: {value[:80]!r}")
    return entry


def _outcome(entry: dict[str, object]) -> Any:
    encoded = entry.get("base64")
    return base64.b64decode(encoded) if isinstance(encoded, str) else entry.get("json")
