"""The account of the bytes of tasks, kept as they change (`coord.core.sizes`)."""

from __future__ import annotations

from coord.core.tasks.records import Queue, Task
from coord.core.tasks.tables import TaskTables


def add_size(tables: TaskTables, queue: Queue, size: int) -> None:
    """Of a task or a tombstone that came or, negative, went."""
    queue.size += size
    tables.tasks_size += size


def resize(tables: TaskTables, queue: Queue, task: Task, size: int) -> None:
    """A task takes so many bytes now."""
    grown = size - task.size
    if grown:
        task.size = size
        queue.size += grown
        tables.tasks_size += grown
