"""Any sequence of commands gives the same replies and the same state as the dumb model.

After every step the invariants are checked. At random points the machine is replaced by one that
was restored from its snapshot, and frozen views are read while the machine goes on."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from coord.core import commands as c
from coord.core import replies as r
from coord.core.checks import check_delta, check_state, mark
from coord.core.machine import Machine
from coord.core.queries import claimable
from coord.core.records import serial_of, task_id_of
from coord.core.snapshot import NamedRow, StateView
from tests.support.core_model import Model
from tests.support.core_rows import read_rows, read_view

QUEUES = st.sampled_from(["q", "r"])
LOCKS = st.sampled_from(["L", "M"])
HOLDERS = st.sampled_from(["h", "i"])
STEPS_MS = st.sampled_from([0, 0, 0, 1, 50, 99, 100, 150, 400, 2_000])
TTLS_MS = st.sampled_from([100, 150, 300, 1_000])
SPECS = st.fixed_dictionaries(
    {
        "queue": QUEUES,
        "priority": st.sampled_from([0, 0, 0, -1, 7]),
        "key": st.sampled_from(["", "", "", "k1", "k2"]),
        "delay": st.sampled_from([0, 0, 0, 100, 250]),
        "max": st.sampled_from([1, 2, 3]),
        "backoff": st.sampled_from([1, 100]),
        "attempt_ms": st.sampled_from([0, 0, 120]),
        "progress_ms": st.sampled_from([0, 0, 110]),
        "total": st.sampled_from([0, 0, 0, 500]),
        "retention": st.sampled_from([200, 3_000]),
    }
)


def to_spec(spec: dict[str, Any]) -> c.TaskSpec:
    return c.TaskSpec(
        queue=spec["queue"],
        payload=b"p",
        priority=spec["priority"],
        idempotency_key=spec["key"],
        delay_ms=spec["delay"],
        max_attempts=spec["max"],
        backoff_initial_ms=spec["backoff"],
        attempt_timeout_ms=spec["attempt_ms"],
        progress_timeout_ms=spec["progress_ms"],
        total_timeout_ms=spec["total"],
        retention_ms=spec["retention"],
    )


def plain(reply: r.Reply) -> Any:
    """A reply in the words of the model."""
    match reply:
        case r.Rejected(reason=reason):
            return ("no", str(reason))
        case r.SessionOpened(session_id=session_id):
            return ("ok", session_id)
        case r.Submitted(tasks=tasks):
            return [(serial_of(task_id), existed) for task_id, _, existed in tasks]
        case r.Claimed(tasks=tasks):
            return [(serial_of(task_id), token, attempt) for task_id, token, attempt, _ in tasks]
        case r.ItemOutcomes(items=(item,)):
            return plain(item.rejected) if item.rejected else ("ok", r.TaskState(item.state).name)
        case r.TaskChanged(state=state):
            return ("ok", r.TaskState(state).name)
        case r.Redriven(redriven=redriven):
            return ("ok", redriven)
        case r.LockReply(acquired=True, fencing_token=token):
            return ("held", token)
        case r.LockReply(queued=True, position=position):
            return ("queued", position)
        case r.LockReply():
            return ("busy",)
        case _:
            return ("ok",)


class AgainstTheModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.machine = Machine()
        self.twin = Machine()
        self.now = 0
        self.nonces = 0
        self.view: tuple[StateView, list[NamedRow]] | None = None

    sessions = Bundle("sessions")
    tasks = Bundle("tasks")  # (serial, token) as once handed out
    grants = Bundle("grants")  # (lock, token)

    def do(self, step_ms: int, command: c.Command, expected: Any, session_id: int = 0) -> Any:
        """Carries a command out everywhere; `expected` asks the model, once its time has come."""
        self.now += step_ms
        request_id = c.RequestId(session_id, 0, 0) if session_id else None
        batch = c.Batch(self.now, 1_000_000 + self.now, [c.Request(command, request_id)])
        before = mark(self.machine.state)
        applied = self.machine.apply(batch)
        assert self.twin.apply(batch) == applied
        check_delta(before, self.machine.state)
        self.model.advance(self.now)
        wanted = expected()
        assert plain(applied.replies[0]) == wanted
        return wanted

    # ---- rules

    @rule(target=sessions, ttl=TTLS_MS, step=STEPS_MS, again=st.booleans())
    def open_session(self, ttl: int, step: int, again: bool) -> Any:
        self.nonces += not (again and self.nonces)
        nonce = b"n%d" % self.nonces
        command = c.OpenSession(ttl, nonce)
        return self.do(step, command, lambda: self.model.open(nonce, ttl))[1]

    @rule(sid=sessions, step=STEPS_MS)
    def keep_alive(self, sid: int, step: int) -> None:
        self.do(step, c.KeepAlive(sid), lambda: self.model.keep_alive(sid))

    @rule(sid=consumes(sessions), step=STEPS_MS)
    def close_session(self, sid: int, step: int) -> None:
        self.do(step, c.CloseSession(sid), lambda: self.model.close(sid))

    @rule(target=tasks, specs=st.lists(SPECS, min_size=1, max_size=4), step=STEPS_MS)
    def submit(self, specs: list[dict[str, Any]], step: int) -> Any:
        command = c.SubmitTasks([to_spec(spec) for spec in specs])
        replies = self.do(step, command, lambda: self.model.submit(specs))
        return multiple(*[(serial, 0) for serial, _ in replies])

    @rule(
        target=tasks,
        sid=sessions,
        queues=st.lists(QUEUES, min_size=1, max_size=3),
        count=st.integers(1, 3),
        ttl=TTLS_MS,
        step=STEPS_MS,
    )
    def claim(self, sid: int, queues: list[str], count: int, ttl: int, step: int) -> Any:
        command = c.ClaimTasks(tuple(queues), count, ttl)
        claim = lambda: self.model.claim(sid, queues, count, ttl)  # noqa: E731
        claimed = self.do(step, command, claim, sid)
        if isinstance(claimed, tuple):
            return multiple()
        return multiple(*[(serial, token) for serial, token, _ in claimed])

    @rule(
        task=tasks,
        checkpoint=st.sampled_from([None, b"half"]),
        progress=st.sampled_from([None, 500]),
        step=STEPS_MS,
    )
    def heartbeat(
        self, task: tuple[int, int], checkpoint: bytes | None, progress: int | None, step: int
    ) -> None:
        item = c.HeartbeatItem(task_id_of(task[0]), task[1], checkpoint, progress)
        reported = progress is not None
        beat = lambda: self.model.heartbeat(*task, checkpoint, reported)  # noqa: E731
        self.do(step, c.HeartbeatTasks([item]), beat)

    @rule(task=tasks, step=STEPS_MS)
    def complete(self, task: tuple[int, int], step: int) -> None:
        command = c.CompleteTasks([c.CompleteItem(task_id_of(task[0]), task[1], b"done")])
        self.do(step, command, lambda: self.model.complete(*task, b"done"))

    @rule(
        task=tasks,
        retryable=st.booleans(),
        after=st.sampled_from([None, None, 0, 30]),
        step=STEPS_MS,
    )
    def fail(self, task: tuple[int, int], retryable: bool, after: int | None, step: int) -> None:
        item = c.FailItem(task_id_of(task[0]), task[1], "boom", retryable, after)
        fail = lambda: self.model.fail(*task, retryable, after)  # noqa: E731
        self.do(step, c.FailTasks([item]), fail)

    @rule(task=tasks, delay=st.sampled_from([0, 80]), step=STEPS_MS)
    def release(self, task: tuple[int, int], delay: int, step: int) -> None:
        item = c.ReleaseItem(task_id_of(task[0]), task[1], delay)
        self.do(step, c.ReleaseTasks([item]), lambda: self.model.release(*task, delay))

    @rule(task=tasks, step=STEPS_MS)
    def cancel(self, task: tuple[int, int], step: int) -> None:
        command = c.CancelTask(task_id_of(task[0]))
        self.do(step, command, lambda: self.model.cancel(task[0]))

    @rule(task=tasks, step=STEPS_MS)
    def retry(self, task: tuple[int, int], step: int) -> None:
        self.do(step, c.RetryTask(task_id_of(task[0])), lambda: self.model.retry(task[0]))

    @rule(queue=QUEUES, limit=st.integers(1, 3), step=STEPS_MS)
    def redrive(self, queue: str, limit: int, step: int) -> None:
        command = c.RedriveQueue(queue, limit)
        self.do(step, command, lambda: self.model.redrive(queue, limit))

    @rule(queue=QUEUES, paused=st.booleans(), step=STEPS_MS)
    def pause(self, queue: str, paused: bool, step: int) -> None:
        command = c.PauseQueue(queue, paused)
        self.do(step, command, lambda: self.model.pause(queue, paused))

    @rule(
        target=grants,
        sid=sessions,
        name=LOCKS,
        holder=HOLDERS,
        ttl=st.sampled_from([0, 0, 150]),
        wait=st.sampled_from([0, 100, 500]),
        step=STEPS_MS,
    )
    def acquire(self, sid: int, name: str, holder: str, ttl: int, wait: int, step: int) -> Any:
        command = c.AcquireLock(name, holder, ttl, wait)
        acquire = lambda: self.model.acquire(sid, name, holder, ttl, wait)  # noqa: E731
        self.do(step, command, acquire, sid)
        held = self.model.locks.get(name)
        return (name, held["token"]) if held else multiple()

    @rule(grant=grants, step=STEPS_MS)
    def unlock(self, grant: tuple[str, int], step: int) -> None:
        self.do(step, c.ReleaseLock(*grant), lambda: self.model.unlock(*grant))

    @rule(grant=grants, step=STEPS_MS)
    def refresh(self, grant: tuple[str, int], step: int) -> None:
        self.do(step, c.RefreshLock(*grant), lambda: self.model.refresh(*grant))

    @rule(sid=sessions, name=LOCKS, holder=HOLDERS, step=STEPS_MS)
    def cancel_wait(self, sid: int, name: str, holder: str, step: int) -> None:
        command = c.CancelLockWait(name, holder)
        cancel = lambda: self.model.cancel_wait(sid, name, holder)  # noqa: E731
        self.do(step, command, cancel, sid)

    @rule()
    def restart_from_snapshot(self) -> None:
        restored = Machine.from_rows(read_rows(self.machine))
        assert restored.digest() == self.machine.digest()
        assert restored.next_deadline_ms() == self.machine.next_deadline_ms()
        self.machine = restored
        if self.view is not None:
            self.view[0].close()
            self.view = None

    @rule()
    def freeze(self) -> None:
        if self.view is None:
            rows = read_rows(self.machine)
            self.view = (self.machine.freeze(), rows)

    @rule(max_rows=st.integers(1, 4), whole=st.booleans())
    def read_frozen(self, max_rows: int, whole: bool) -> None:
        """The view shows the state at the freeze, however much happened since."""
        if self.view is None:
            return
        view, expected = self.view
        chunk = read_view(view) if whole else view.next_rows(max_rows) or []
        assert chunk == expected[: len(chunk)]
        del expected[: len(chunk)]
        if whole:
            assert not expected
            self.view = None

    # ---- what always holds

    @invariant()
    def state_is_sound(self) -> None:
        check_state(self.machine.state)

    @invariant()
    def state_is_the_models(self) -> None:
        state, model = self.machine.state, self.model
        assert state.revision == model.revision
        assert {s.session_id: s.expires_at_ms for s in state.sessions.values()} == {
            sid: session["expires"] for sid, session in model.sessions.items()
        }
        tasks = {
            t.serial: (t.state.name, t.attempt, t.token, t.lost_leases, t.checkpoint, t.result)
            for t in state.tasks.values()
        }
        fields = ("state", "attempt", "token", "lost", "checkpoint", "result")
        assert tasks == {
            serial: tuple(task[field] for field in fields) for serial, task in model.tasks.items()
        }
        assert {k.name: (k.session_id, k.holder, k.token) for k in state.locks.values()} == {
            name: (lock["session"], lock["holder"], lock["token"])
            for name, lock in model.locks.items()
        }
        assert [w.ticket for w in state.waiters.values()] == [
            w["ticket"] for w in sorted(model.waiters, key=lambda w: (w["lock"], w["ticket"]))
        ]
        for queue in ("q", "r"):
            assert claimable(state, [queue]) == bool(model.claimable([queue]))

    @invariant()
    def next_deadline_is_the_models(self) -> None:
        deadlines = [at for at, _, _ in self.model.deadlines()]
        assert self.machine.next_deadline_ms() == min(deadlines, default=None)

    def teardown(self) -> None:
        assert self.twin.digest() == self.machine.digest()


TestAgainstTheModel = AgainstTheModel.TestCase
TestAgainstTheModel.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
