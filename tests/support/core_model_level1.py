"""The dumb model with the rules of level 1: what completed is kept compactly, keys outlive results,
other content under a known key is refused, and queues have quotas and can be deleted."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from tests.support.core_model import UNFINISHED, Model, Record

RESULT_MS = 600_000
KEY_MS = 3_600_000
DROPPED_AT_ONCE = 4
MAX_LOST_LEASES = 10


class ModelLevel1(Model):
    def __init__(self) -> None:
        super().__init__()
        self.stones: dict[int, Record] = {}
        self.quotas: dict[str, int] = {}
        self.dropping: set[str] = set()
        self.deleting: set[str] = set()

    # ---- time

    def deadlines(self) -> list[tuple[int, int, Any]]:
        found = [one for one in super().deadlines() if not self.is_completed(one)]
        for serial, task in self.tasks.items():
            if task["state"] == "COMPLETED":
                found.append((self.task_ends(task)[0], 5, serial))
        return found + [(stone["until"], 6, serial) for serial, stone in self.stones.items()]

    def is_completed(self, deadline: tuple[int, int, Any]) -> bool:
        _, kind, ident = deadline
        return kind == 4 and self.tasks[ident]["state"] == "COMPLETED"

    def task_ends(self, task: Record) -> list[int]:
        if task["state"] in UNFINISHED:
            return super().task_ends(task)
        default = RESULT_MS if task["state"] == "COMPLETED" else KEY_MS
        return [task["since"] + (task["retention"] or default)]

    def advance(self, now: int) -> None:
        """What is over is forgotten after everything else, as it takes no revision."""
        self.now = max(self.now, now)
        while True:
            due = [one for one in self.deadlines() if one[0] <= self.now and one[1] < 5]
            if not due:
                break
            _, kind, ident = min(due)
            if kind == 1:
                self.end_session(ident)
            elif kind == 2:
                self.pass_on(ident)
            elif kind == 3:
                self.leave(*ident)
            else:
                self.task_due(self.tasks[ident])
        for task in list(self.tasks.values()):
            if task["state"] == "COMPLETED" and self.task_ends(task)[0] <= self.now:
                self.forget(task, leave_stone=not task["retention"])
        for serial, stone in list(self.stones.items()):
            if stone["until"] <= self.now:
                del self.stones[serial]

    def forget(self, task: Record, *, leave_stone: bool) -> None:
        del self.tasks[task["serial"]]
        if task["key"] and leave_stone:
            until = task["since"] + (task["retention"] or KEY_MS)
            self.stones[task["serial"]] = task | {"until": until}

    # ---- tasks

    def known(self, spec: Record) -> Record | None:
        for kept in (*self.tasks.values(), *self.stones.values()):
            if spec["key"] and (kept["queue"], kept["key"]) == (spec["queue"], spec["key"]):
                return kept
        return None

    def submit(self, specs: list[Record]) -> Any:
        fresh: list[Record] = []
        for spec in specs:
            known = self.known(spec)
            original = known["spec"] if known else None
            for other in fresh:
                if spec["key"] and (other["queue"], other["key"]) == (spec["queue"], spec["key"]):
                    original = other
            if original is None:
                fresh.append(spec)
            elif original != spec:
                return ("no", "IDEMPOTENCY_CONFLICT")
        for queue in dict.fromkeys(spec["queue"] for spec in specs):
            new = sum(1 for spec in fresh if spec["queue"] == queue)
            if new and queue in self.deleting:
                return ("no", "QUEUE_BEING_DELETED")
            if new and 0 < self.quotas.get(queue, 0) < len(self.counted(queue)) + new:
                return ("no", "QUOTA_EXCEEDED")
        return [self.submit_one(dict(spec)) for spec in specs]

    def counted(self, queue: str) -> list[Record]:
        """What a submit finds in its way: completed tasks only if they are not dropped."""
        own = [task for task in self.tasks.values() if task["queue"] == queue]
        if queue in self.dropping:
            return [task for task in own if task["state"] != "COMPLETED"]
        return own

    def submit_one(self, spec: Record) -> Any:
        known = self.known(spec)
        if known:
            return (known["serial"], True)
        original = dict(spec)
        serial, existed = super().submit_one(spec)
        self.tasks[serial]["spec"] = original
        self.drop_surplus(spec["queue"])
        return (serial, existed)

    def finish(self, task: Record, state: str) -> None:
        super().finish(task, state)
        if state == "COMPLETED":
            task["checkpoint"] = b""
            self.drop_surplus(task["queue"])

    def failed(self, task: Record, after: int | None) -> None:
        """Attempts that ended with a lost lease come on top of those that are allowed."""
        allowed = task["max"]
        task["max"] = allowed + task["lost"]
        super().failed(task, after)
        task["max"] = allowed

    def lost(self, task: Record) -> None:
        task["lost"] += 1
        if task["lost"] >= max(MAX_LOST_LEASES, task["max"]):
            self.finish(task, "DEAD")
            return
        window_ms = min(500 << min(task["lost"] - 1, 16), 60_000)
        delay_ms = crc32(f"{task['serial']}:{task['lost']}".encode()) % window_ms
        self.put_back(task, self.now + delay_ms)

    def revive(self, task: Record) -> None:
        task["lost"] = 0
        super().revive(task)

    def drop_surplus(self, queue: str) -> None:
        for _ in range(DROPPED_AT_ONCE):
            own = [task for task in self.tasks.values() if task["queue"] == queue]
            completed = [task for task in own if task["state"] == "COMPLETED"]
            over = 0 < self.quotas.get(queue, 0) < len(own)
            if queue not in self.dropping or not over or not completed:
                return
            self.forget(min(completed, key=lambda task: int(task["mod"])), leave_stone=True)

    def claimable(self, queues: list[str]) -> list[Record]:
        return super().claimable([queue for queue in queues if queue not in self.deleting])

    # ---- queues

    def set_queue(self, queue: str, quota: int, drop: bool) -> Any:
        if queue in self.deleting:
            return ("no", "QUEUE_BEING_DELETED")
        self.bump()
        self.paused.setdefault(queue, False)
        self.quotas[queue] = quota
        (self.dropping.add if drop else self.dropping.discard)(queue)
        return ("ok",)

    def delete_queue(self, queue: str, force: bool, limit: int) -> Any:
        if queue not in self.paused:
            return ("no", "QUEUE_NOT_FOUND")
        own = [task for task in self.tasks.values() if task["queue"] == queue]
        if any(task["state"] in UNFINISHED for task in own) and not force:
            return ("no", "QUEUE_NOT_EMPTY")
        self.bump()
        self.deleting.add(queue)
        stones = [stone for stone in self.stones.values() if stone["queue"] == queue]
        going = sorted(own, key=self.place_in_deletion)
        ended = [task for task in going if task["state"] != "COMPLETED"]
        kept = sorted([*(t for t in going if t["state"] == "COMPLETED"), *stones], key=_line)
        for task in (ended + kept)[:limit]:
            if task["state"] in UNFINISHED:
                self.finish(task, "CANCELLED")
            self.tasks.pop(task["serial"], None)
            self.stones.pop(task["serial"], None)
        remaining = len(own) + len(stones) - min(limit, len(own) + len(stones))
        if not remaining:
            self.deleting.discard(queue)
            self.dropping.discard(queue)
            self.quotas.pop(queue, None)
            del self.paused[queue]
        return ("ok", min(limit, len(own) + len(stones)), remaining)

    def place_in_deletion(self, task: Record) -> tuple[int, int, int]:
        order = ("READY", "SCHEDULED", "CLAIMED", "DEAD", "CANCELLED", "COMPLETED")
        priority = -task["priority"] if task["state"] == "READY" else 0
        return (order.index(task["state"]), priority, task["serial"])


def _line(kept: Record) -> tuple[int, bool, int]:
    return (kept["retention"], "until" in kept, kept["mod"])
