"""What replies show beyond what they say, read from the applied state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from coord.core.locks.queries import LockInfo, get_lock
from coord.core.state import State
from coord.core.tasks.attempts import attempts_allowed
from coord.core.tasks.records import Task, serial_of


class StateLookup:
    """The `coord.codec.replies.Lookup` of a state. `now_ms`: the asker's cluster time, if it is
    later than the state's."""

    __slots__ = ("_state", "now_ms")

    def __init__(self, state: State, now_ms: int = 0) -> None:
        self._state = state
        self.now_ms = now_ms

    def claimed_task(self, task_id: str, fencing_token: int) -> Task | None:
        task = self._state.tasks.get(serial_of(task_id))
        if task is None or task.lease is None or task.token != fencing_token:
            return None
        return task

    def attempts_allowed(self, task: Task) -> int:
        return attempts_allowed(self._state.level, task)

    def lock(self, name: str) -> LockInfo:
        return get_lock(self._state, name, self.now_ms)

    def lock_ttl_ms(self, name: str) -> int:
        lock = self._state.locks.get(name)
        return lock.ttl_ms if lock is not None else 0


class Lookup(Protocol):
    """What a reply shows beyond what it says: read from the applied state when it is encoded."""

    def claimed_task(self, task_id: str, fencing_token: int) -> Task | None:
        """The task while it is held under this token; None once it is not."""
        ...

    def attempts_allowed(self, task: Task) -> int:
        """How many attempts there may be of it, as far as is known."""
        ...

    def lock(self, name: str) -> LockInfo:
        """The lock as it is now: who holds it, and how many wait."""
        ...

    def lock_ttl_ms(self, name: str) -> int:
        """The TTL of a held lock; 0 if it lives as long as its session, or is not held."""
        ...


def header_only(response: Any) -> ReplyBuilder:
    """A response that is its header and nothing else."""
    message: Message = response()
    return lambda command, reply, lookup: message


ReplyBuilder = Callable[[Any, Any, Lookup], Message]
