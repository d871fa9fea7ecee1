"""What clients were told must stay true: the record of a run's client history, and its judge.

Checked: registers are linearizable; every acknowledged task is there at the end, once, with its
payload, and every acknowledged completion with its result; a lease (of a task, or a session's on
its locks) is not given to somebody else before its time on the fastest clock; tokens of one task or
lock rise in real time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from chaos.checkers.linearizable import Bounds, check
from chaos.checkers.models import MODELS
from chaos.histories.history import NEMESIS, EventType, HistoryEvent, operations
from chaos.sim.invariants import Violation
from chaos.sim.plan import MAX_RATE
from coord.core.state import State
from coord.core.tasks.commands import TaskState
from coord.core.tasks.retention import is_compact

REGISTER = ("read", "write", "cas")
MAX_STATES = 300_000


@dataclass(slots=True)
class _Grant:
    token: int
    client: int
    told_at: float
    safe_until: float  # nobody else can have it earlier


class Promises:
    """The history of one run. Times in seconds."""

    def __init__(self) -> None:
        self.events: list[HistoryEvent] = []
        self.submitted: dict[str, bytes] = {}
        self.completed: dict[str, bytes] = {}
        self.written_at = 0.0  # the last acknowledged write
        self._grants: dict[tuple[str, str], _Grant] = {}

    def record(
        self,
        now_s: float,
        process: int | str,
        kind: EventType,
        f: str,
        key: str | None = None,
        value: Any = None,
    ) -> None:
        """One more line of the history."""
        time_ns = round(now_s * 1_000_000_000)
        self.events.append(HistoryEvent(len(self.events), process, kind, f, key, value, time_ns))

    def fault(self, now_s: float, name: str, value: Any = None) -> None:
        """Something that happened to the cluster."""
        self.record(now_s, NEMESIS, "info", name, None, value)

    def granted(
        self,
        what: tuple[str, str],
        client: int,
        token: int,
        asked_at: float,
        told_at: float,
        lease_ms: int,
    ) -> None:
        """A client was told that it holds something under this token."""
        known = self._grants.get(what)
        safe_until = asked_at + lease_ms / 1000 / MAX_RATE
        if known is not None and known.token != token:
            if token > known.token and told_at < known.safe_until:
                raise Violation(
                    f"{what} went to client {client} at {told_at:.3f}; client {known.client} had "
                    f"it until {known.safe_until:.3f} at the least"
                )
            if token < known.token and asked_at > known.told_at:
                raise Violation(f"the tokens of {what} fall from {known.token} to {token}")
            if token < known.token:
                return
        elif known is not None:
            safe_until = max(safe_until, known.safe_until)
        self._grants[what] = _Grant(token, client, told_at, safe_until)

    def renewed(self, what: tuple[str, str], token: int, asked_at: float, lease_ms: int) -> None:
        """The holder was told that its lease began anew."""
        known = self._grants.get(what)
        if known is not None and known.token == token:
            known.safe_until = max(known.safe_until, asked_at + lease_ms / 1000 / MAX_RATE)

    def giving_up(self, what: tuple[str, str], token: int) -> None:
        """The holder is about to let go, as far as it can tell."""
        known = self._grants.get(what)
        if known is not None and known.token == token:
            known.safe_until = 0.0

    def check_state(self, state: State) -> None:
        """The state at the end has all that was acknowledged."""
        tasks = {task.task_id: task for task in state.tasks.values()}
        for task_id, payload in self.submitted.items():
            task = tasks.get(task_id)
            if task is None or task.type != payload.decode().rstrip():
                raise Violation(f"the acknowledged task {task_id} was lost")
            if task.payload != payload and not is_compact(state.ctx, task):
                raise Violation(f"the payload of the acknowledged task {task_id} was lost")
        for task_id, result in self.completed.items():
            task = tasks[task_id]
            if task.state is not TaskState.COMPLETED or task.result != result:
                raise Violation(f"the acknowledged completion of {task_id} was lost")
        types = [task.type for task in tasks.values()]
        if len(set(types)) != len(types):
            twice = next(one for one in types if types.count(one) > 1)
            raise Violation(f"the task {twice!r} was submitted twice")

    def check_history(self) -> None:
        """Registers are linearizable."""
        calls = list(operations(event for event in self.events if event.f in REGISTER))
        verdict = check(calls, MODELS["cas-register"], Bounds(60.0, MAX_STATES), clock=lambda: 0.0)
        for key in verdict.keys:
            if key.valid is False:
                raise Violation(f"the register {key.key} is not linearizable")

    def lines(self) -> list[str]:
        """The history as JSON lines."""
        return [event.to_json() for event in self.events]


def history_digest(lines: list[str]) -> str:
    """SHA-256 of a history's bytes."""
    return sha256("\n".join(lines).encode()).hexdigest()


def combined_digest(digests: list[str]) -> str:
    """One digest for many histories, in order."""
    return sha256(json.dumps(digests).encode()).hexdigest()
