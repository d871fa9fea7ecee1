"""Any sequence of commands gives the same replies and the same state as the dumb model.

After every step the invariants are checked. At random points the machine is replaced by one that
was restored from its snapshot, and frozen views are read while the machine goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Reply, Request
from coord.core.checks import check_delta, check_state, mark
from coord.core.cluster.commands import RaiseLevel
from coord.core.locks.commands import (
    AcquireLock,
    CancelLockWait,
    LockReply,
    RefreshLock,
    ReleaseLock,
)
from coord.core.machine import Machine
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession, SessionOpened
from coord.core.snapshot import NamedRow, StateView
from coord.core.tasks.commands import (
    CancelTask,
    Claimed,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    DeleteQueue,
    FailItem,
    FailTasks,
    HeartbeatItem,
    HeartbeatTasks,
    ItemOutcomes,
    PauseQueue,
    QueueDeleted,
    Redriven,
    RedriveQueue,
    ReleaseItem,
    ReleaseTasks,
    RetryTask,
    SetQueue,
    SubmitTasks,
    Submitted,
    TaskChanged,
    TaskSpec,
    TaskState,
)
from coord.core.tasks.queries import claimable
from coord.core.tasks.records import serial_of, task_id_of
from tests.support.core_model import Model
from tests.support.core_model_level1 import ModelLevel1
from tests.support.core_rows import read_rows, read_view
from tests.support.core_time import FOREVER_MS

QUEUES = st.sampled_from(["q", "r"])
LOCKS = st.sampled_from(["L", "M"])
HOLDERS = st.sampled_from(["h", "i"])
STEPS_MS = st.sampled_from([0, 0, 0, 0, 0, 0, 1, 20, 50, 100, 150, 400])
TTLS_MS = st.sampled_from([100, 150, 400])
SESSION_TTLS_MS = st.sampled_from([300, 1_000, 60_000])
# Chooses among what is there: mostly something the command fits, sometimes anything else.
PICKS = st.integers(0, 99)
PAYLOADS = {0: b"p", -1: b"", 7: b"p" * 16_384}  # by priority; digests of more take too long
# What the holder of a task does: the method of the model, and its arguments after the token.
HOLDERS_DO = [
    ("heartbeat", None, None),
    ("heartbeat", b"half", None),
    ("heartbeat", None, 500),
    ("heartbeat", "large", None),
    ("complete", b"done"),
    ("complete", "large"),
    ("fail", True, None),
    ("fail", True, 30),
    ("fail", False, 0),
    ("release", 0),
    ("release", 80),
]
KEYS = st.sampled_from(["k1", "k2", "k3"])
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


def to_spec(spec: dict[str, Any]) -> TaskSpec:
    return TaskSpec(
        queue=spec["queue"],
        payload=PAYLOADS[spec["priority"]],
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


def plain(reply: Reply) -> Any:
    """A reply in the words of the model."""
    match reply:
        case Rejected(reason=reason):
            return ("no", str(reason))
        case SessionOpened(session_id=session_id):
            return ("ok", session_id)
        case Submitted(tasks=tasks):
            return [(serial_of(task_id), existed) for task_id, _, existed in tasks]
        case Claimed(tasks=tasks):
            return [(serial_of(task_id), token, attempt) for task_id, token, attempt, _ in tasks]
        case ItemOutcomes(items=(item,)):
            return plain(item.rejected) if item.rejected else ("ok", TaskState(item.state).name)
        case TaskChanged(state=state):
            return ("ok", TaskState(state).name)
        case QueueDeleted(deleted=deleted, remaining=remaining):
            return ("ok", deleted, remaining)
        case Redriven(redriven=redriven):
            return ("ok", redriven)
        case LockReply(acquired=True, fencing_token=token):
            return ("held", token)
        case LockReply(queued=True, position=position):
            return ("queued", position)
        case LockReply():
            return ("busy",)
        case _:
            return ("ok",)


class AgainstTheModel(RuleBasedStateMachine):
    """Machine, a twin that is never restarted, model; sessions, snapshots, what always holds."""

    model_class: type[Model] = Model
    level = 0

    def __init__(self) -> None:
        super().__init__()
        self.model = self.model_class()
        self.machine = Machine()
        self.twin = Machine()
        self.now = 0
        self.nonces = 0
        self.view: tuple[StateView, list[NamedRow]] | None = None
        if self.level:
            for machine in (self.machine, self.twin):
                machine.apply(Batch(0, 1_000_000, [Request(RaiseLevel(self.level))]))

    # ---- choosing

    def session(self, pick: int) -> int:
        """An open session, or rarely one that may not be."""
        known = sorted(self.model.sessions)
        return known[pick % len(known)] if known and pick < 95 else 1 + pick % 7

    def held(self, pick: int) -> tuple[int, int]:
        """A claimed task with its token, or rarely a token that is not the current one."""
        tasks = self.model.tasks
        claimed = [serial for serial in sorted(tasks) if tasks[serial]["state"] == "CLAIMED"]
        if claimed and pick < 85:
            serial = claimed[pick % len(claimed)]
            return serial, tasks[serial]["token"]
        serial = self.task(pick)
        token = tasks[serial]["token"] if serial in tasks else pick
        return serial, max(0, token + pick % 3 - 1)

    def task(self, pick: int, *states: str) -> int:
        """A task in one of these states if there is one, else any, rarely none."""
        tasks = self.model.tasks
        known = [serial for serial in sorted(tasks) if tasks[serial]["state"] in states]
        known = known or sorted(tasks)
        return known[pick % len(known)] if known and pick < 95 else 1 + pick

    def grant(self, pick: int) -> tuple[str, int]:
        """A held lock with its token, or rarely with another one."""
        locks = sorted(self.model.locks)
        name = locks[pick % len(locks)] if locks and pick < 95 else "L"
        token = self.model.locks[name]["token"] if name in locks else pick
        return name, token if pick < 85 else token - 1

    def begin(self) -> None:
        for nonce in (b"x", b"y"):
            command = OpenSession(60_000, nonce)
            self.do(0, command, lambda nonce=nonce: self.model.open(nonce, 60_000))

    def do(self, step_ms: int, command: Command, expected: Any, session_id: int = 0) -> None:
        """Carries a command out everywhere; `expected` asks the model, once its time has come."""
        self.now += step_ms
        request_id = RequestId(session_id, 0, 0) if session_id else None
        batch = Batch(self.now, 1_000_000 + self.now, [Request(command, request_id)])
        before = mark(self.machine.state)
        applied = self.machine.apply(batch)
        assert self.twin.apply(batch) == applied
        check_delta(before, self.machine.state)
        self.model.advance(self.now)
        assert plain(applied.replies[0]) == expected()

    # ---- rules

    @rule(ttl=SESSION_TTLS_MS, step=STEPS_MS, again=st.booleans())
    def open_session(self, ttl: int, step: int, again: bool) -> None:
        self.nonces += not again
        nonce = b"n%d" % self.nonces
        self.do(step, OpenSession(ttl, nonce), lambda: self.model.open(nonce, ttl))

    @rule(pick=PICKS, step=STEPS_MS)
    def keep_alive(self, pick: int, step: int) -> None:
        sid = self.session(pick)
        self.do(step, KeepAlive(sid), lambda: self.model.keep_alive(sid))

    @rule(pick=PICKS, step=STEPS_MS)
    def close_session(self, pick: int, step: int) -> None:
        sid = self.session(pick)
        self.do(step, CloseSession(sid), lambda: self.model.close(sid))

    @rule()
    def restart_from_snapshot(self) -> None:
        restored = Machine.from_rows(read_rows(self.machine), self.machine.state.limits)
        assert restored.digest() == self.machine.digest()
        assert restored.next_deadline_ms(FOREVER_MS) == self.machine.next_deadline_ms(FOREVER_MS)
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
            t.serial: (
                *(t.state.name, t.mod_revision, t.attempt, t.token, t.lost_leases),
                *(t.checkpoint, t.result, t.since_ms),
            )
            for t in state.tasks.values()
        }
        fields = ("state", "mod", "attempt", "token", "lost", "checkpoint", "result", "since")
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
        assert self.machine.next_deadline_ms(FOREVER_MS) == min(deadlines, default=None)

    def teardown(self) -> None:
        assert self.twin.digest() == self.machine.digest()


class TasksAgainstTheModel(AgainstTheModel):
    @initialize(specs=st.lists(SPECS, min_size=4, max_size=6), ttl=TTLS_MS)
    def begin_work(self, specs: list[dict[str, Any]], ttl: int) -> None:
        self.begin()
        self.submit(specs, 0)
        self.claim(0, ["q", "r"], 2, ttl, 0)

    @rule(specs=st.lists(SPECS, min_size=1, max_size=4), step=STEPS_MS)
    def submit(self, specs: list[dict[str, Any]], step: int) -> None:
        command = SubmitTasks([to_spec(spec) for spec in specs])
        self.do(step, command, lambda: self.model.submit(specs))

    @rule(
        pick=PICKS,
        queues=st.lists(QUEUES, min_size=1, max_size=3),
        count=st.sampled_from([1, 2, 3, 3, LIMITS.max_batch_items]),
        ttl=TTLS_MS,
        step=STEPS_MS,
    )
    def claim(self, pick: int, queues: list[str], count: int, ttl: int, step: int) -> None:
        sid = self.session(pick)
        command = ClaimTasks(tuple(queues), count, ttl)
        claim = lambda: self.model.claim(sid, queues, count, ttl)  # noqa: E731
        self.do(step, command, claim, sid)

    @rule(pick=PICKS, what=st.sampled_from(HOLDERS_DO), step=STEPS_MS)
    def use_token(self, pick: int, what: tuple[Any, ...], step: int) -> None:
        serial, token = self.held(pick)
        method, *rest = (PAYLOADS[7] if part == "large" else part for part in what)
        of = (task_id_of(serial), token)
        if method == "heartbeat":
            checkpoint, progress = rest
            command: Command = HeartbeatTasks([HeartbeatItem(*of, checkpoint, progress)])
            rest = [checkpoint, progress is not None]
        elif method == "complete":
            command = CompleteTasks([CompleteItem(*of, *rest)])
        elif method == "fail":
            command = FailTasks([FailItem(*of, "boom", *rest)])
        else:
            command = ReleaseTasks([ReleaseItem(*of, *rest)])
        self.do(step, command, lambda: getattr(self.model, method)(serial, token, *rest))

    @rule(
        pick=PICKS,
        queue=QUEUES,
        what=st.sampled_from(["cancel", "retry", "retry", "redrive", "pause", "resume", "resume"]),
        step=STEPS_MS,
    )
    def manage(self, pick: int, queue: str, what: str, step: int) -> None:
        model = self.model
        if what == "cancel":
            serial = self.task(pick)
            self.do(step, CancelTask(task_id_of(serial)), lambda: model.cancel(serial))
        elif what == "retry":
            serial = self.task(pick, "DEAD", "CANCELLED")
            self.do(step, RetryTask(task_id_of(serial)), lambda: model.retry(serial))
        elif what == "redrive":
            limit = 1 + pick % 3
            self.do(step, RedriveQueue(queue, limit), lambda: model.redrive(queue, limit))
        else:
            paused = what == "pause"
            self.do(step, PauseQueue(queue, paused), lambda: model.pause(queue, paused))


KEYED = {"priority": 0, "delay": 0, "max": 2, "backoff": 1, "total": 0, "retention": 0}
KEYED |= {"attempt_ms": 0, "progress_ms": 0}
# Often the same content under the same key, and sometimes the default retention.
SPECS_LEVEL1 = st.one_of(
    st.builds(lambda queue, key: {"queue": queue, "key": key, **KEYED}, QUEUES, KEYS),
    st.builds(lambda spec, ms: spec | {"retention": ms}, SPECS, st.sampled_from([0, 0, 200])),
)
# Around the ends of the default retentions.
LONG_STEPS_MS = st.sampled_from([0, 0, 0, 1, 599_999, 600_000, 2_999_999, 3_000_000, 3_600_000])


class TasksAtLevel1(TasksAgainstTheModel):
    model_class = ModelLevel1
    level = 1
    model: ModelLevel1

    @initialize(specs=st.lists(SPECS_LEVEL1, min_size=4, max_size=6), ttl=TTLS_MS)
    def begin_work(self, specs: list[dict[str, Any]], ttl: int) -> None:
        self.begin()
        self.submit(specs, 0)
        self.set_queue("q", 2, True)
        self.claim(0, ["q", "r"], 2, ttl, 0)

    @rule(specs=st.lists(SPECS_LEVEL1, min_size=1, max_size=3), step=STEPS_MS)
    def submit(self, specs: list[dict[str, Any]], step: int) -> None:
        command = SubmitTasks([to_spec(spec) for spec in specs])
        self.do(step, command, lambda: self.model.submit(specs))

    @rule(count=st.integers(1, 3), step=LONG_STEPS_MS)
    def work_off(self, count: int, step: int) -> None:
        """Claims some and completes them: what is forgotten must have been done first. Then time
        passes."""
        self.open_session(60_000, 0, again=False)
        for _ in range(count):
            self.claim(len(self.model.sessions) - 1, ["q", "r"], 1, 400, 0)
            serial, token = self.held(0)
            command = CompleteTasks([CompleteItem(task_id_of(serial), token, b"done")])
            complete = lambda: self.model.complete(serial, token, b"done")  # noqa: B023, E731
            self.do(0, command, complete)
        self.do(step, KeepAlive(1), lambda: self.model.keep_alive(1))

    @rule(queue=QUEUES, quota=st.sampled_from([0, 3, 6]), drop=st.booleans())
    def set_queue(self, queue: str, quota: int, drop: bool) -> None:
        command = SetQueue(queue, quota_tasks=quota, policy=2 if drop else 1)
        self.do(0, command, lambda: self.model.set_queue(queue, quota, drop))

    @rule(queue=QUEUES, force=st.booleans(), limit=st.integers(1, 4))
    def delete_queue(self, queue: str, force: bool, limit: int) -> None:
        command = DeleteQueue(queue, force, limit)
        self.do(0, command, lambda: self.model.delete_queue(queue, force, limit))

    @invariant()
    def keys_are_known_as_promised(self) -> None:
        state, model = self.machine.state, self.model
        assert list(state.tombstones) == sorted(model.stones)
        known = {
            (queue.name, key): serial
            for queue in state.queues.values()
            for key, serial in queue.known_keys.items()
        }
        kept = [*model.tasks.values(), *model.stones.values()]
        assert known == {(t["queue"], t["key"]): t["serial"] for t in kept if t["key"]}


class LocksAgainstTheModel(AgainstTheModel):
    @initialize()
    def begin_contention(self) -> None:
        self.begin()
        for pick, holder in ((0, "h"), (1, "h"), (1, "i"), (0, "i")):
            self.acquire(pick, "L", holder, 0, 500, 0)

    @rule(
        pick=PICKS,
        name=LOCKS,
        holder=HOLDERS,
        ttl=st.sampled_from([0, 0, 150]),
        wait=st.sampled_from([0, 100, 500]),
        step=STEPS_MS,
    )
    def acquire(self, pick: int, name: str, holder: str, ttl: int, wait: int, step: int) -> None:
        sid = self.session(pick)
        command = AcquireLock(name, holder, ttl, wait)
        acquire = lambda: self.model.acquire(sid, name, holder, ttl, wait)  # noqa: E731
        self.do(step, command, acquire, sid)

    @rule(
        pick=PICKS,
        name=LOCKS,
        holder=HOLDERS,
        what=st.sampled_from(["unlock", "refresh", "cancel-wait"]),
        step=STEPS_MS,
    )
    def use_lock(self, pick: int, name: str, holder: str, what: str, step: int) -> None:
        if what == "cancel-wait":
            sid = self.session(pick)
            command = CancelLockWait(name, holder)
            cancel = lambda: self.model.cancel_wait(sid, name, holder)  # noqa: E731
            self.do(step, command, cancel, sid)
            return
        grant = self.grant(pick)
        if what == "unlock":
            self.do(step, ReleaseLock(*grant), lambda: self.model.unlock(*grant))
        else:
            self.do(step, RefreshLock(*grant), lambda: self.model.refresh(*grant))


BUDGET = settings(
    max_examples=80,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTasks = TasksAgainstTheModel.TestCase
TestTasks.settings = BUDGET
TestTasksAtLevel1 = TasksAtLevel1.TestCase
TestTasksAtLevel1.settings = BUDGET
TestLocks = LocksAgainstTheModel.TestCase
TestLocks.settings = BUDGET


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", [TasksAgainstTheModel, TasksAtLevel1, LocksAgainstTheModel])
def test_for_long(machine: type[AgainstTheModel]) -> None:
    run_state_machine_as_test(machine, settings=settings(BUDGET, max_examples=3_000))


def test_the_largest_batches_are_the_models() -> None:
    """As many tasks as one request may have, submitted, claimed, and lost with their session."""
    size = LIMITS.max_batch_items
    run = TasksAgainstTheModel()
    for machine in (run.machine, run.twin):  # the model knows no limits
        machine.state.ctx.limits = replace(LIMITS, max_expiries_per_batch=10 * size)
    run.begin()
    spec = {"queue": "q", "priority": 0, "key": "", "delay": 0, "max": 2, "backoff": 100}
    spec |= {"attempt_ms": 0, "progress_ms": 0, "total": 0, "retention": 3_000}
    run.submit([spec] * size, 0)
    run.claim(0, ["q"], size, 400, 1)
    for what in HOLDERS_DO:
        run.use_token(50, what, 1)
    run.restart_from_snapshot()
    run.close_session(0, 1)  # and all of them are ready again
    run.claim(0, ["r", "q"], size, 400, 1)
    run.close_session(0, 1)  # and all but a few are dead
    run.manage(2, "q", "redrive", 0)
    run.state_is_sound()
    run.state_is_the_models()
    run.teardown()
    states = [task["state"] for task in run.model.tasks.values()]
    assert states.count("DEAD") > size * 0.9
