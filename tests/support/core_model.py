"""The state machine again, deliberately dumb: dictionaries, no index, no timer, a scan for all.

Written from the meaning of the commands, not from the implementation, to be compared with it. It
knows no key-value store, no calendar times, no limits. Replies are plain tuples:

    ("ok", ...) | ("no", reason) | a list of these for batches"""

from __future__ import annotations

from typing import Any

UNFINISHED = ("SCHEDULED", "READY", "CLAIMED")
Record = dict[str, Any]


class Model:
    def __init__(self) -> None:
        self.now = 0
        self.revision = 0
        self.sessions: dict[int, Record] = {}
        self.tasks: dict[int, Record] = {}
        self.locks: dict[str, Record] = {}
        self.waiters: list[Record] = []
        self.paused: dict[str, bool] = {}

    def bump(self) -> int:
        self.revision += 1
        return self.revision

    # ---- time

    def advance(self, now: int) -> None:
        self.now = max(self.now, now)
        while True:
            due = [one for one in self.deadlines() if one[0] <= self.now]
            if not due:
                return
            _, kind, ident = min(due)
            if kind == 1:
                self.end_session(ident)
            elif kind == 2:
                self.pass_on(ident)
            elif kind == 3:
                self.leave(*ident)
            else:
                self.task_due(self.tasks[ident])

    def deadlines(self) -> list[tuple[int, int, Any]]:
        found: list[tuple[int, int, Any]] = []
        found += [(s["expires"], 1, sid) for sid, s in self.sessions.items()]
        found += [(k["expires"], 2, name) for name, k in self.locks.items() if k["ttl"]]
        found += [(w["leaves"], 3, (w["lock"], w["ticket"])) for w in self.waiters]
        for serial, task in self.tasks.items():
            ends = [at for at in self.task_ends(task) if at]
            if ends:
                found.append((min(ends), 4, serial))
        return found

    def task_ends(self, task: Record) -> list[int]:
        state = task["state"]
        if state not in UNFINISHED:
            return [task["since"] + task["retention"]]
        if state == "CLAIMED":
            return [task["dies"], task["expires"], task["attempt_ends"], task["progress_due"]]
        return [task["dies"], task["ready_at"] if state == "SCHEDULED" else 0]

    def task_due(self, task: Record) -> None:
        state = task["state"]
        if state not in UNFINISHED:
            del self.tasks[task["serial"]]
        elif 0 < task["dies"] <= self.now:
            self.finish(task, "DEAD")
        elif state == "SCHEDULED":
            self.put_back(task, task["ready_at"])
        elif 0 < task["attempt_ends"] <= self.now or 0 < task["progress_due"] <= self.now:
            self.failed(task, None)
        else:
            self.lost(task)

    # ---- sessions

    def open(self, nonce: bytes, ttl: int) -> Any:
        for sid, session in self.sessions.items():
            if session["nonce"] == nonce:
                session["expires"] = self.now + session["ttl"]
                return ("ok", sid)
        sid = self.bump()
        self.sessions[sid] = {"nonce": nonce, "ttl": ttl, "expires": self.now + ttl}
        return ("ok", sid)

    def heard(self, sid: int) -> bool:
        if sid not in self.sessions:
            return False
        self.sessions[sid]["expires"] = self.now + self.sessions[sid]["ttl"]
        return True

    def keep_alive(self, sid: int) -> Any:
        return ("ok",) if self.heard(sid) else ("no", "SESSION_NOT_FOUND")

    def close(self, sid: int) -> Any:
        if sid not in self.sessions:
            return ("no", "SESSION_NOT_FOUND")
        self.end_session(sid)
        return ("ok",)

    def end_session(self, sid: int) -> None:
        self.bump()
        mine = [w for w in self.waiters if w["session"] == sid]
        for waiter in sorted(mine, key=lambda w: (w["lock"], w["ticket"])):
            self.leave(waiter["lock"], waiter["ticket"])
        for name in sorted(name for name, k in self.locks.items() if k["session"] == sid):
            self.pass_on(name)
        for serial in sorted(self.tasks):
            if self.tasks[serial]["state"] == "CLAIMED" and self.tasks[serial]["session"] == sid:
                self.lost(self.tasks[serial])
        del self.sessions[sid]

    # ---- tasks

    def submit(self, specs: list[Record]) -> Any:
        return [self.submit_one(dict(spec)) for spec in specs]

    def submit_one(self, spec: Record) -> Any:
        self.paused.setdefault(spec["queue"], False)
        for serial, task in self.tasks.items():
            if spec["key"] and (task["queue"], task["key"]) == (spec["queue"], spec["key"]):
                return (serial, True)
        serial = self.revision + 1
        task = {"attempt": 0, "token": 0, "lost": 0, "checkpoint": b"", "result": b""}
        task |= spec | {"serial": serial}
        task["dies"] = self.now + spec["total"] if spec["total"] else 0
        self.tasks[serial] = task
        self.put_back(task, self.now + spec["delay"])
        return (serial, False)

    def put_back(self, task: Record, ready_at: int) -> None:
        task["mod"] = self.bump()
        task["ready_at"] = ready_at
        task["state"] = "SCHEDULED" if ready_at > self.now else "READY"
        task["since"] = self.now

    def finish(self, task: Record, state: str) -> None:
        task["mod"] = self.bump()
        task["state"] = state
        task["since"] = self.now

    def claimable(self, queues: list[str]) -> list[Record]:
        ready = [t for t in self.tasks.values() if t["state"] == "READY"]
        found: list[Record] = []
        for queue in dict.fromkeys(queues):
            if not self.paused.get(queue, False):
                own = [task for task in ready if task["queue"] == queue]
                found += sorted(own, key=lambda t: (-t["priority"], t["serial"]))
        return found

    def claim(self, sid: int, queues: list[str], count: int, ttl: int) -> Any:
        if not self.heard(sid):
            return ("no", "SESSION_NOT_FOUND")
        claimed = []
        for task in self.claimable(queues)[:count]:
            task["token"] = task["mod"] = self.bump()
            task["attempt"] += 1
            task |= {"state": "CLAIMED", "session": sid, "ttl": ttl, "since": self.now}
            task["expires"] = self.now + ttl
            task["attempt_ends"] = self.now + task["attempt_ms"] if task["attempt_ms"] else 0
            task["progress_due"] = self.now + task["progress_ms"] if task["progress_ms"] else 0
            claimed.append((task["serial"], task["token"], task["attempt"]))
        return claimed

    def refusal(self, serial: int, token: int) -> Any:
        task = self.tasks.get(serial)
        if task is None:
            return ("no", "TASK_NOT_FOUND")
        if task["state"] not in UNFINISHED:
            return ("no", "TASK_FINISHED")
        if task["state"] == "CLAIMED":
            return None if token == task["token"] else ("no", "STALE_FENCING_TOKEN")
        return ("no", "STALE_FENCING_TOKEN" if 0 < token <= task["token"] else "TASK_NOT_CLAIMED")

    def heartbeat(self, serial: int, token: int, checkpoint: bytes | None, progress: bool) -> Any:
        refused = self.refusal(serial, token)
        if refused:
            return refused
        task = self.tasks[serial]
        task["expires"] = self.now + task["ttl"]
        if checkpoint is not None:
            task["checkpoint"] = checkpoint
        if progress and task["progress_ms"]:
            task["progress_due"] = self.now + task["progress_ms"]
        if checkpoint is not None or progress:
            task["mod"] = self.bump()
        return ("ok", "CLAIMED")

    def complete(self, serial: int, token: int, result: bytes) -> Any:
        refused = self.refusal(serial, token)
        if refused:
            return refused
        self.tasks[serial]["result"] = result
        self.finish(self.tasks[serial], "COMPLETED")
        return ("ok", "COMPLETED")

    def fail(self, serial: int, token: int, retryable: bool, after: int | None) -> Any:
        refused = self.refusal(serial, token)
        if refused:
            return refused
        task = self.tasks[serial]
        if retryable:
            self.failed(task, after)
        else:
            self.finish(task, "DEAD")
        return ("ok", task["state"])

    def failed(self, task: Record, after: int | None) -> None:
        if task["attempt"] >= task["max"]:
            self.finish(task, "DEAD")
            return
        backoff = task["backoff"] * 2 ** (task["attempt"] - 1)
        self.put_back(task, self.now + (min(backoff, 60_000) if after is None else after))

    def lost(self, task: Record) -> None:
        task["lost"] += 1
        if task["attempt"] >= task["max"]:
            self.finish(task, "DEAD")
        else:
            self.put_back(task, self.now)

    def release(self, serial: int, token: int, delay: int) -> Any:
        refused = self.refusal(serial, token)
        if refused:
            return refused
        task = self.tasks[serial]
        task["attempt"] -= 1
        self.put_back(task, self.now + delay)
        return ("ok", task["state"])

    def cancel(self, serial: int) -> Any:
        task = self.tasks.get(serial)
        if task is None:
            return ("no", "TASK_NOT_FOUND")
        if task["state"] in {"COMPLETED", "DEAD"}:
            return ("no", "TASK_FINISHED")
        if task["state"] != "CANCELLED":
            self.finish(task, "CANCELLED")
        return ("ok", "CANCELLED")

    def retry(self, serial: int) -> Any:
        task = self.tasks.get(serial)
        if task is None:
            return ("no", "TASK_NOT_FOUND")
        if task["state"] in UNFINISHED:
            return ("no", "TASK_NOT_FINISHED")
        if task["state"] == "COMPLETED":
            return ("no", "TASK_FINISHED")
        self.revive(task)
        return ("ok", "READY")

    def revive(self, task: Record) -> None:
        task["attempt"] = 0
        task["dies"] = self.now + task["total"] if task["total"] else 0
        self.put_back(task, self.now)

    def redrive(self, queue: str, limit: int) -> Any:
        if queue not in self.paused:
            return ("no", "QUEUE_NOT_FOUND")
        dead = [t for t in self.tasks.values() if t["queue"] == queue and t["state"] == "DEAD"]
        for task in sorted(dead, key=lambda t: t["serial"])[:limit]:
            self.revive(task)
        return ("ok", min(limit, len(dead)))

    def pause(self, queue: str, paused: bool) -> Any:
        if self.paused.get(queue) != paused:
            self.bump()
            self.paused[queue] = paused
        return ("ok",)

    # ---- locks

    def acquire(self, sid: int, name: str, holder: str, ttl: int, wait: int) -> Any:
        if not self.heard(sid):
            return ("no", "SESSION_NOT_FOUND")
        lock = self.locks.get(name)
        if lock is None:
            self.grant(name, sid, holder, ttl)
            return ("held", self.revision)
        if (lock["session"], lock["holder"]) == (sid, holder):
            lock["expires"] = self.now + lock["ttl"]
            return ("held", lock["token"])
        queue = [w for w in self.waiters if w["lock"] == name]
        for position, waiter in enumerate(queue):
            if (waiter["session"], waiter["holder"]) == (sid, holder):
                waiter["leaves"] = self.now + wait if wait else waiter["leaves"]
                return ("queued", position)
        if not wait:
            return ("busy",)
        ticket = self.bump()
        waiter = {"lock": name, "ticket": ticket, "session": sid, "holder": holder}
        self.waiters.append(waiter | {"ttl": ttl, "leaves": self.now + wait})
        return ("queued", len(queue))

    def grant(self, name: str, sid: int, holder: str, ttl: int) -> None:
        lock = {"session": sid, "holder": holder, "ttl": ttl, "expires": self.now + ttl}
        self.locks[name] = lock | {"token": self.bump()}

    def pass_on(self, name: str) -> None:
        self.bump()
        del self.locks[name]
        for waiter in self.waiters:
            if waiter["lock"] == name:
                self.waiters.remove(waiter)
                self.grant(name, waiter["session"], waiter["holder"], waiter["ttl"])
                return

    def leave(self, name: str, ticket: int) -> None:
        self.waiters = [w for w in self.waiters if w["ticket"] != ticket]
        self.bump()

    def lock_refusal(self, name: str, token: int) -> Any:
        if name not in self.locks:
            return ("no", "LOCK_NOT_HELD")
        return None if self.locks[name]["token"] == token else ("no", "STALE_FENCING_TOKEN")

    def unlock(self, name: str, token: int) -> Any:
        refused = self.lock_refusal(name, token)
        if refused:
            return refused
        self.pass_on(name)
        return ("ok",)

    def refresh(self, name: str, token: int) -> Any:
        refused = self.lock_refusal(name, token)
        if refused:
            return refused
        self.locks[name]["expires"] = self.now + self.locks[name]["ttl"]
        return ("ok",)

    def cancel_wait(self, sid: int, name: str, holder: str) -> Any:
        if not self.heard(sid):
            return ("no", "SESSION_NOT_FOUND")
        for waiter in self.waiters:
            if (waiter["lock"], waiter["session"], waiter["holder"]) == (name, sid, holder):
                self.leave(name, waiter["ticket"])
                break
        return ("ok",)
