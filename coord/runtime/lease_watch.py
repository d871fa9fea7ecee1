"""Who is to be told when a task is lost to its holder: cancelled, expired, out of time.

Every node applies the same log, so each can tell the workers that are connected to it, whoever
leads. A node may be behind the leader that handed a task out; a claim that is not applied here yet
is no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from coord.core.base.request import Event, EventKind
from coord.core.state import State
from coord.core.tasks.causes import error_text
from coord.core.tasks.records import serial_of


class Lost(NamedTuple):
    """A task that is not held under this token any more. `state` 0: it is not known any more."""

    task_id: str
    fencing_token: int
    state: int
    reason: str


Tell = Callable[[Lost], None]


class LeaseWatch:
    """`state`: what is applied here, now."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._watches: dict[str, dict[int, Tell]] = {}  # by task, by fencing token

    def __len__(self) -> int:
        """How many tasks are watched."""
        return len(self._watches)

    def watch(self, task_id: str, fencing_token: int, tell: Tell) -> None:
        """Call `tell` once when this is lost; now, if it is already."""
        lost = what_became_of(self._state(), task_id, fencing_token)
        if lost is not None:
            tell(lost)
            return
        self._watches.setdefault(task_id, {})[fencing_token] = tell

    def unwatch(self, task_id: str, fencing_token: int, tell: Tell) -> None:
        """Whoever held it has settled it, or has gone."""
        watches = self._watches.get(task_id)
        if watches is None or watches.get(fencing_token) != tell:
            return
        del watches[fencing_token]
        if not watches:
            del self._watches[task_id]

    def dispatch(self, events: Iterable[Event]) -> None:
        """These happened."""
        if not self._watches:
            return
        for event in events:
            if event.kind is EventKind.TASK_LEASE_LOST:
                self._look(event.subject)

    def look_everywhere(self) -> None:
        """The whole state may have changed."""
        for task_id in list(self._watches):
            self._look(task_id)

    def _look(self, task_id: str) -> None:
        for token, tell in list(self._watches.get(task_id, {}).items()):
            lost = what_became_of(self._state(), task_id, token)
            if lost is not None:
                self.unwatch(task_id, token, tell)
                tell(lost)


def what_became_of(state: State, task_id: str, fencing_token: int) -> Lost | None:
    """Of a task that was handed out under this token; None while it is held under it, or while
    that is not applied here yet."""
    serial = serial_of(task_id)
    task = state.tasks.get(serial)
    if task is None:
        if fencing_token > state.revision:
            return None
        return Lost(task_id, fencing_token, 0, "the task is not known any more")
    if task.token < fencing_token or (task.token == fencing_token and task.lease is not None):
        return None
    return Lost(task_id, fencing_token, int(task.state), error_text(task))
