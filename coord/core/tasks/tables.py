"""The tables of tasks and queues."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from coord.core.base.limits import Limits
from coord.core.base.table import Table
from coord.core.sessions.tables import SessionTables
from coord.core.tasks.records import (
    Queue,
    Redrive,
    Task,
    Tombstone,
    decode_queue,
    decode_redrive,
    decode_task,
    decode_tombstone,
    encode_queue,
    encode_redrive,
    encode_task,
    encode_tombstone,
)

T = TypeVar("T")

_MAX_SHARED: Final = 4_096


class TaskTables:
    """Queues, their tasks, and what is left of these."""

    __slots__ = (
        "_shared",
        "finished",
        "queues",
        "redrives",
        "sessions",
        "tasks",
        "tasks_size",
        "tombstones",
    )

    def __init__(self, sessions: SessionTables) -> None:
        self.sessions = sessions
        self.queues: Table[str, Queue] = Table("queues", encode_queue, decode_queue, place=30)
        self.tasks: Table[int, Task] = Table("tasks", encode_task, decode_task, place=40)
        # Redrives that go on in the next entries, by queue.
        self.redrives: Table[str, Redrive] = Table(
            "redrives", encode_redrive, decode_redrive, place=70
        )
        # What is left of completed tasks that were forgotten, by their serials.
        self.tombstones: Table[int, Tombstone] = Table(
            "tombstones", encode_tombstone, decode_tombstone, place=110
        )
        # ---- derived
        self.tasks_size = 0  # bytes of all tasks and tombstones: coord.core.tasks.account
        self.finished: OrderedDict[int, None] = OrderedDict()  # serials, oldest end first
        self._shared: dict[Any, Any] = {}

    def tables(self) -> list[Table[Any, Any]]:
        """Those with rows."""
        return [self.queues, self.tasks, self.redrives, self.tombstones]

    def share(self, value: T) -> T:
        """One object for equal values, so that a million tasks of one kind hold one text."""
        shared = self._shared
        found = shared.get(value)
        if found is None:
            if len(shared) >= _MAX_SHARED:
                shared.clear()
            found = shared[value] = value
        kept: T = found
        return kept


def make_tables(limits: Limits, parts: Mapping[str, Any]) -> TaskTables:
    """Tasks are held by sessions."""
    return TaskTables(parts["sessions"])
