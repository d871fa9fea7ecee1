"""Carries out the commands of scenario files on a Machine and tells what happened as text.

    verb [session] key=value ...      one batch with one request; several requests: join with " ; "
    now=N or +N anywhere              sets or advances cluster time; wall=N the Unix time
    seq=N acked=N                     deduplication identity (needs a session)

Lists are joined with commas, and items of a batch are built from parallel lists. After every
command the invariants are checked, and a machine restored from a snapshot must have the same
digest."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Rejected
from coord.core.base.request import Event, EventKind, RequestId
from coord.core.batch import Applied, Batch, Command, Request
from coord.core.checks import check_delta, check_state, mark
from coord.core.cluster.commands import RaiseLevel, SetQuota
from coord.core.kv.commands import (
    CompareResult,
    CompareTarget,
    KvCompact,
    KvCompare,
    KvDelete,
    KvPut,
    KvTxn,
)
from coord.core.locks.commands import AcquireLock, CancelLockWait, RefreshLock, ReleaseLock
from coord.core.locks.queries import get_lock, list_locks
from coord.core.machine import Machine
from coord.core.sessions.commands import CloseSession, KeepAlive, OpenSession, SessionOpened
from coord.core.sessions.queries import list_sessions
from coord.core.tasks import explain
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
    ItemOutcome,
    ItemOutcomes,
    PauseQueue,
    RedriveQueue,
    ReleaseItem,
    ReleaseTasks,
    RetryTask,
    SetQueue,
    SubmitTasks,
    Submitted,
    TaskSpec,
    TaskState,
)
from coord.core.tasks.queries import (
    QueueInfo,
    TaskPage,
    claimable,
    get_task,
    list_queues,
    list_tasks,
)
from tests.support.core_time import FOREVER_MS

EVENT_WORDS = {
    EventKind.TASK_READY: "ready",
    EventKind.TASK_FINISHED: "finished",
    EventKind.TASK_LEASE_LOST: "lost",
    EventKind.LOCK_GRANTED: "granted",
    EventKind.LOCK_WAIT_ENDED: "wait-ended",
    EventKind.SESSION_ENDED: "session-ended",
    EventKind.KV_CHANGED: "changed",
    EventKind.LEVEL_RAISED: "level",
}
SPEC_FIELDS = {field.name: field.type for field in fields(TaskSpec)}

Args = dict[str, str]


class CoreScenario:
    """One scenario: a machine, named sessions, and a clock that moves only when told."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.sessions: dict[str, int] = {}
        self.now_ms = 0
        self.wall_ms = 1_000_000
        self.opening: list[str] = []

    def run(self, line: str) -> list[str]:
        """Carries out one line and gives its trace."""
        parts = [part.split() for part in line.split(" ; ")]
        verb = parts[0][0]
        before = mark(self.machine.state)
        if verb == "limits":
            changes = {key: int(value) for key, value in _arguments(parts[0][1:])[1].items()}
            self.machine = Machine(limits=replace(LIMITS, **changes))
            return ["ok"]
        if verb in QUERIES:
            answer: list[str] = QUERIES[verb](self, _arguments(parts[0][1:])[1])
            return answer
        requests = [request for words in parts if (request := self._request(words)) is not None]
        applied = self.machine.apply(Batch(self.now_ms, self.wall_ms, requests))
        self._note_sessions(applied)
        self._check(before)
        trace = [_event_text(event) for event in applied.events]
        for reply in applied.replies:
            trace += _reply_lines(reply)
        return trace or ["ok nothing"]

    def _request(self, words: list[str]) -> Request | None:
        names, arguments = _arguments(words[1:])
        if "now" in arguments:
            self.now_ms = int(arguments.pop("now"))
        self.now_ms += int(arguments.pop("+", "0"))
        self.wall_ms = int(arguments.pop("wall", str(self.wall_ms)))
        if words[0] == "tick":
            return None
        session = arguments.pop("session", names[0] if names else "")
        sequence = int(arguments.pop("seq", "0"))
        acked = int(arguments.pop("acked", "0"))
        if words[0] == "open":
            self.opening.append(session)
            arguments.setdefault("nonce", session)
            return Request(_open(arguments))
        session_id = self._session_id(session)
        if words[0] in {"keepalive", "close"}:
            kind = KeepAlive if words[0] == "keepalive" else CloseSession
            command: Command = kind(session_id)
            session_id = session_id if sequence else 0
        else:
            command = BUILDERS[words[0]](arguments)
        request_id = RequestId(session_id, sequence, acked) if session_id or sequence else None
        return Request(command, request_id)

    def _session_id(self, name: str) -> int:
        return int(name) if name.isdigit() else self.sessions.get(name, 0)

    def _note_sessions(self, applied: Applied) -> None:
        for reply in applied.replies:
            if isinstance(reply, SessionOpened):
                self.sessions[self.opening.pop(0)] = reply.session_id
        self.opening.clear()

    def _check(self, before: Any) -> None:
        state = self.machine.state
        check_state(state)
        check_delta(before, state)
        view = self.machine.freeze()
        rows = []
        while (chunk := view.next_rows(3)) is not None:
            rows += chunk
        view.close()
        restored = Machine.from_rows(rows, state.limits)
        check_state(restored.state)
        assert restored.digest() == self.machine.digest()
        assert restored.next_deadline_ms(FOREVER_MS) == self.machine.next_deadline_ms(FOREVER_MS)


def _arguments(words: list[str]) -> tuple[list[str], Args]:
    names, arguments = [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            arguments[key] = value
        elif word.startswith("+"):
            arguments["+"] = word[1:]
        else:
            names.append(word)
    return names, arguments


def _list(arguments: Args, key: str, default: str = "") -> list[str]:
    return [part for part in arguments.get(key, default).split(",") if part]


# ---- commands


def _open(a: Args) -> OpenSession:
    return OpenSession(
        ttl_ms=int(a.get("ttl", "10000")),
        nonce=a["nonce"].encode(),
        kind=a.get("kind", "client"),
        name=a.get("name", ""),
        queues=tuple(_list(a, "queues")),
        slots=int(a.get("slots", "0")),
    )


def _submit(a: Args) -> SubmitTasks:
    count = int(a.pop("count", "1"))
    values: dict[str, Any] = {"payload": a.pop("payload", "p").encode()}
    values["payload"] *= int(a.pop("times", "1"))
    for key, value in a.items():
        is_text = SPEC_FIELDS[key] in ("str", str)  # the compiled core keeps the type itself
        values[key] = value if is_text else int(value)
    return SubmitTasks([TaskSpec(**values) for _ in range(count)])


def _claim(a: Args) -> ClaimTasks:
    return ClaimTasks(
        tuple(_list(a, "queue")),
        int(a.get("max", "1")),
        int(a.get("ttl", "1000")),
        a.get("worker", ""),
    )


def _items(a: Args) -> list[tuple[str, int]]:
    return list(zip(_list(a, "task"), map(int, _list(a, "token")), strict=True))


def _heartbeat(a: Args) -> HeartbeatTasks:
    checkpoint = a["checkpoint"].encode() if "checkpoint" in a else None
    progress = int(a["progress"]) if "progress" in a else None
    return HeartbeatTasks([HeartbeatItem(*item, checkpoint, progress) for item in _items(a)])


def _complete(a: Args) -> CompleteTasks:
    result = a.get("result", "done").encode()
    return CompleteTasks([CompleteItem(*item, result) for item in _items(a)])


def _fail(a: Args) -> FailTasks:
    retryable = a.get("retryable", "yes") == "yes"
    after = int(a["retry_after"]) if "retry_after" in a else None
    error = a.get("error", "boom")
    return FailTasks([FailItem(*item, error, retryable, after) for item in _items(a)])


def _release(a: Args) -> ReleaseTasks:
    delay = int(a.get("delay", "0"))
    return ReleaseTasks([ReleaseItem(*item, delay) for item in _items(a)])


def _acquire(a: Args) -> AcquireLock:
    return AcquireLock(
        a["lock"], a.get("holder", "h"), int(a.get("ttl", "0")), int(a.get("wait", "0"))
    )


def _txn(a: Args) -> KvTxn:
    """If the key's mod_revision is `mod`, put `value`, else nothing."""
    key = a["key"].encode()
    compare = KvCompare(key, CompareTarget.MOD, CompareResult.EQUAL, int(a["mod"]))
    return KvTxn([compare], [KvPut(key, a["value"].encode())], [])


def _set_queue(a: Args) -> SetQueue:
    tasks = int(a["tasks"]) if "tasks" in a else None
    size = int(a["bytes"]) if "bytes" in a else None
    return SetQueue(a["queue"], tasks, size, int(a.get("policy", "0")))


BUILDERS: dict[str, Any] = {
    "submit": _submit,
    "claim": _claim,
    "heartbeat": _heartbeat,
    "complete": _complete,
    "fail": _fail,
    "release": _release,
    "cancel": lambda a: CancelTask(a["task"], a.get("reason", "")),
    "retry": lambda a: RetryTask(a["task"]),
    "redrive": lambda a: RedriveQueue(a["queue"], int(a.get("limit", "10"))),
    "pause": lambda a: PauseQueue(a["queue"], True),
    "resume": lambda a: PauseQueue(a["queue"], False),
    "acquire": _acquire,
    "unlock": lambda a: ReleaseLock(a["lock"], int(a["token"])),
    "refresh": lambda a: RefreshLock(a["lock"], int(a["token"])),
    "cancel-wait": lambda a: CancelLockWait(a["lock"], a.get("holder", "h")),
    "put": lambda a: KvPut(a["key"].encode(), a["value"].encode()),
    "del": lambda a: KvDelete(a["key"].encode()),
    "txn": _txn,
    "compact": lambda a: KvCompact(int(a["revision"])),
    "set-queue": _set_queue,
    "delete-queue": lambda a: DeleteQueue(a["queue"], "force" in a, int(a.get("limit", "10"))),
    "set-quota": lambda a: SetQuota(int(a["bytes"])),
    "raise": lambda a: RaiseLevel(int(a["level"])),
}


# ---- what came of it


def _event_text(event: Event) -> str:
    token = f" token={event.token}" if event.token else ""
    return f"{EVENT_WORDS[event.kind]} {event.subject}{token}"


def _reply_lines(reply: Any) -> list[str]:
    if isinstance(reply, Rejected):
        metadata = "".join(f" {key}={value}" for key, value in reply.metadata)
        return [f"rejected {reply.reason}{metadata}"]
    if isinstance(reply, Submitted):
        return [
            f"ok task={task_id} revision={revision}{' existed' if existed else ''}"
            for task_id, revision, existed in reply.tasks
        ]
    if isinstance(reply, Claimed):
        claims = [
            f"ok task={task_id} token={token} attempt={attempt} ttl={ttl_ms}"
            for task_id, token, attempt, ttl_ms in reply.tasks
        ]
        return claims or ["ok nothing"]
    if isinstance(reply, ItemOutcomes):
        return [line for item in reply.items for line in _outcome_lines(item)]
    return [f"ok {_fields(reply)}"]


def _outcome_lines(item: ItemOutcome) -> list[str]:
    if item.rejected is not None:
        return _reply_lines(item.rejected)
    return [f"ok {TaskState(item.state).name} revision={item.revision}"]


def _fields(value: Any) -> str:
    """Fields of a named tuple that say something, in order."""
    texts = []
    for key, field in zip(value._fields, value, strict=True):
        if isinstance(field, TaskState):
            texts.append(f"{key}={field.name}")
        elif isinstance(field, TaskSpec):
            texts.append(f"queue={field.queue} payload={field.payload.decode()}")
        elif isinstance(field, bytes):
            texts += [f"{key}={field.decode()}"] if field else []
        elif field not in (0, "", (), None) or field is True:
            texts.append(f"{key}={field}")
    return " ".join(texts)


# ---- questions


def _show_page(page: Any) -> list[str]:
    if isinstance(page, Rejected):
        return _reply_lines(page)
    if isinstance(page, TaskPage):
        more = ["more"] if page.more else []
        return [f"{task.task_id} {task.state.name}" for task in page.tasks] + more or ["none"]
    if isinstance(page, tuple) and not hasattr(page, "_fields"):
        return [_fields(one) for one in page] or ["none"]
    return [_fields(page)]


COUNTS = QueueInfo._fields[:13]
KEPT = ("queue", *QueueInfo._fields[13:])


def _show_queues(s: CoreScenario, a: Args, names: tuple[str, ...]) -> list[str]:
    found = list_queues(s.machine.state, a.get("queue", ""))
    if isinstance(found, Rejected):
        return _reply_lines(found)
    lines = []
    for info in found:
        shown = ((name, getattr(info, name)) for name in names)
        lines.append(" ".join(f"{name}={value}" for name, value in shown if value not in (0, "")))
    return lines or ["none"]


def _list_tasks(s: CoreScenario, a: Args) -> list[str]:
    states = [TaskState[name] for name in _list(a, "states")]
    page = list_tasks(
        s.machine.state, a.get("queue", ""), states, int(a.get("limit", "0")), a.get("after", "")
    )
    return _show_page(page)


QUERIES: dict[str, Any] = {
    "show-task": lambda s, a: _show_page(get_task(s.machine.state, a["task"])),
    "show-queue": lambda s, a: _show_queues(s, a, COUNTS),
    "show-kept": lambda s, a: _show_queues(s, a, KEPT),
    "show-lock": lambda s, a: _show_page(get_lock(s.machine.state, a["lock"], max_waiters=100)),
    "list-locks": lambda s, a: _show_page(
        list_locks(s.machine.state, a.get("prefix", ""), 0, a.get("after", ""))
    ),
    "list-sessions": lambda s, a: _show_page(list_sessions(s.machine.state, a.get("kind", ""))),
    "list-tasks": _list_tasks,
    "explain": lambda s, a: _show_page(explain.explain_task(s.machine.state, a["task"])),
    "claimable": lambda s, a: [str(claimable(s.machine.state, _list(a, "queue")))],
    "deadline": lambda s, a: [str(s.machine.next_deadline_ms(FOREVER_MS))],
}
