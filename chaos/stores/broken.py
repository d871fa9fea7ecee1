"""Stores that break one promise each, to see that it is noticed. `chaos selftest` shows it.

Every one of them is a mistake that real systems have made."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chaos.stores.memory import MemoryStore, StoredSession, StoredTask
from coord.client import Compare, KeyValue, TaskState

EVERY = 10  # one in so many calls goes wrong
SHORT_LEASE_MS = 10


@dataclass(slots=True)
class _Counting(MemoryStore):
    calls: int = 0

    def now_and_then(self) -> bool:
        self.calls += 1
        return self.calls % EVERY == 0


@dataclass(slots=True)
class StaleReads(_Counting):
    """Some reads are answered by a deposed leader: with what it had some writes ago."""

    old: dict[bytes, KeyValue] = field(default_factory=dict)
    writes: int = 0

    def write(self, key: bytes, value: bytes) -> int:
        self.writes += 1
        if self.writes % 10 == 0:
            self.old = dict(self.pairs)
        return MemoryStore.write(self, key, value)

    def read(self, key: bytes) -> KeyValue | None:
        return (self.old if self.now_and_then() else self.pairs).get(key)

    def read_prefix(self, prefix: bytes) -> list[KeyValue]:
        pairs = self.old if self.now_and_then() else self.pairs
        return [pair for key, pair in sorted(pairs.items()) if key.startswith(prefix)]


@dataclass(slots=True)
class ForgetsWrites(_Counting):
    """Acknowledges before it has kept anything, and then sometimes keeps nothing."""

    def write(self, key: bytes, value: bytes) -> int:
        if self.now_and_then():
            return self.next_revision()
        return MemoryStore.write(self, key, value)


@dataclass(slots=True)
class ComparesNothing(MemoryStore):
    """Transactions write without looking: two of them overwrite each other's work."""

    def holds(self, compare: Compare) -> bool:
        return True


@dataclass(slots=True)
class HalfTransactions(_Counting):
    """Sometimes only one of a transaction's writes happens."""

    def write(self, key: bytes, value: bytes) -> int:
        if (b"bank" in key or b"append" in key) and self.now_and_then():
            return self.next_revision()
        return MemoryStore.write(self, key, value)


@dataclass(slots=True)
class ShortLeases(MemoryStore):
    """Leases of locks are measured by a clock that runs twice as fast as it should."""

    def acquire(self, name: str, ttl_ms: int, session_id: int) -> int:
        return MemoryStore.acquire(self, name, ttl_ms // 2, session_id)


@dataclass(slots=True)
class ForgetsSessions(_Counting):
    """Sometimes ends a session as soon as its client is silent, as a leader does that has just
    been elected and knows of no renewals."""

    def leave(self, session: StoredSession, *, ended: bool) -> None:
        MemoryStore.leave(self, session, ended=ended or self.calls % 3 == 0)
        self.calls += 1


@dataclass(slots=True)
class LocksWithoutFencing(MemoryStore):
    """The lock works, but its tokens start again now and then, as after a restart."""

    tokens: int = 0

    def new_token(self) -> int:
        self.tokens = self.tokens % 7 + 1
        return self.tokens


@dataclass(slots=True)
class CommitsTwice(MemoryStore):
    """Takes a result from whoever brings one, the current token or not. Its leases are short, so
    that there are such."""

    def claim(self, max_tasks: int, lease_ttl_ms: int) -> builtins.list[StoredTask]:
        return MemoryStore.claim(self, max_tasks, SHORT_LEASE_MS)

    def complete(self, task_id: str, token: int, result: bytes) -> None:
        task = self.tasks[task_id]
        task.state, task.result = TaskState.COMPLETED, result


@dataclass(slots=True)
class ForgetsTasks(_Counting):
    """Acknowledges tasks and sometimes loses one."""

    def submit(self, payload: bytes) -> tuple[StoredTask, bool]:
        task, existed = MemoryStore.submit(self, payload)
        if self.now_and_then():
            del self.tasks[task.task_id]
        return task, existed


@dataclass(slots=True)
class HandsOutCommitted(_Counting):
    """Sometimes a task that was committed is handed out once more."""

    def claimable(self, task: StoredTask) -> bool:
        return task.state is TaskState.READY or (
            task.state is TaskState.COMPLETED and self.now_and_then()
        )


@dataclass(slots=True)
class NoIdempotency(MemoryStore):
    """Makes a new task of every submission, also of one it has seen."""

    def submit(self, payload: bytes) -> tuple[StoredTask, bool]:
        task = StoredTask(f"t{self.next_revision()}", payload)
        self.tasks[task.task_id] = task
        return task, False


@dataclass(slots=True)
class OneTokenForAll(MemoryStore):
    """Hands tasks out with the same token each time, so nobody's is ever stale."""

    def claim(self, max_tasks: int, lease_ttl_ms: int) -> builtins.list[StoredTask]:
        found = MemoryStore.claim(self, max_tasks, lease_ttl_ms)
        for task in found:
            task.token = 1
        return found


BROKEN: Mapping[str, tuple[Callable[[], MemoryStore], tuple[str, ...]]] = {
    "stale reads": (StaleReads, ("register", "cas-register", "set", "append")),
    "forgets acknowledged writes": (ForgetsWrites, ("register", "set", "bank", "append")),
    "compares nothing": (ComparesNothing, ("cas-register", "bank", "append")),
    "half transactions": (HalfTransactions, ("bank", "append")),
    "leases too short": (ShortLeases, ("leases",)),
    "ends sessions early": (ForgetsSessions, ("leases",)),
    "locks without fencing": (LocksWithoutFencing, ("locks",)),
    "commits twice": (CommitsTwice, ("tasks", "agents")),
    "forgets acknowledged tasks": (ForgetsTasks, ("tasks", "agents")),
    "hands out committed tasks": (HandsOutCommitted, ("tasks",)),
    "no idempotency": (NoIdempotency, ("tasks",)),
    "one token for all": (OneTokenForAll, ("tasks",)),
}
