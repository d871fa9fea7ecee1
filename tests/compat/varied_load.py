"""Requests of every kind, as clients of the old build send them: the log that is replayed.

It is run by the old build only, in the process of `log_tool.py`, so that what it makes never
changes. It knows the state from the replies, as clients do, and asks for much that is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from coord.codec.envelope import EnvelopeItem
from coord.codec.kinds import CommandKind as Kind

try:  # where the first build has them; in its process, there is more than one coord to be found
    from coord.rpc.gen import cluster_pb2, lock_pb2, session_pb2, task_pb2
    from coord.rpc.gen import etcd_rpc_pb2 as etcd
except ImportError:
    from coord.pb import cluster_pb2, lock_pb2, session_pb2, task_pb2
    from coord.pb import etcd_rpc_pb2 as etcd

QUEUES = ("alpha", "beta", "gamma")
LOCKS = ("one", "two", "three")
MASS = 700  # what one session holds at its end: more than one batch carries out
KEPT_IDENTITIES = 30

Made = tuple[Kind, Any]


class Load:
    """`next_entry` makes the content of a log entry, `learn` takes the replies to it."""

    def __init__(self, seed: int, level: int = 0) -> None:
        self.random = Random(seed)
        self.level = level  # to which the first entry raises the cluster
        self.now_ms, self.wall_ms = 1_000, 1_700_000_000_000
        self.number = 0
        self.sessions: list[int] = []
        self.sequences: Counter[int] = Counter()
        self.sent: list[EnvelopeItem] = []
        self.pending: list[EnvelopeItem] = []
        self.claims: list[tuple[str, int]] = []
        self.tasks: list[str] = []
        self.tokens: list[tuple[str, int]] = []
        self.revision = 1
        self.counts: Counter[str] = Counter()
        self.makers: list[tuple[int, Callable[[], Made]]] = [
            (3, self.open_session),
            (3, self.keep_alive),
            (1, self.close_session),
            (10, self.submit),
            (12, self.claim),
            (6, self.heartbeat),
            (9, self.complete),
            (6, self.fail),
            (4, self.release),
            (4, self.cancel),
            (3, self.retry),
            (1, self.redrive),
            (1, self.pause),
            (8, self.acquire),
            (4, self.unlock),
            (3, self.refresh),
            (2, self.cancel_wait),
            (8, self.put),
            (4, self.delete),
            (8, self.txn),
            (2, self.compact),
        ]
        if level:
            self.makers += [(3, self.set_queue), (2, self.delete_queue)]

    # ---- entries

    def next_entry(self) -> tuple[int, int, list[EnvelopeItem]]:
        self.number += 1
        self.move_time()
        stage = self.number % 120
        if stage == 60:
            items = self.mass()
        elif stage == 70:
            self.now_ms += 90_000  # all of it ends
            items = []
        elif stage == 90:
            items = self.largest()
        else:
            items = [self.any_item() for _ in range(self.random.randrange(8))]
            if len(self.sessions) < 3:
                items.append(self.item(*self.open_session()))
        if self.number == 1 and self.level:
            items = [self.raise_level(), *items]
        self.pending = items
        return max(0, self.now_ms - self.random.choice((0, 0, 0, 5_000))), self.wall_ms, items

    def move_time(self) -> None:
        self.now_ms += self.random.choice((0, 1, 20, 100, 300, 1_000))
        self.wall_ms += self.random.choice((0, 100, 2_000, -500))
        if self.number % 200 == 0:
            self.now_ms += 4_000_000  # past the default retention

    def learn(self, replies: list[Any]) -> None:
        for item, reply in zip(self.pending, replies, strict=True):
            name = type(reply).__name__
            self.counts[f"{Kind(item.kind).name}"] += 1
            self.counts[name] += 1
            if name == "Rejected":
                self.counts[reply.reason.value] += 1
                if item.session_id in self.sessions and reply.reason.value == "SESSION_NOT_FOUND":
                    self.sessions.remove(item.session_id)
            self.revision = max(self.revision, getattr(reply, "revision", 0))
            if name == "SessionOpened":
                self.sessions.append(reply.session_id)
            elif name == "Submitted":
                self.tasks += [task_id for task_id, _, _ in reply.tasks]
            elif name == "Claimed":
                self.claims += [(task_id, token) for task_id, token, _, _ in reply.tasks]
            elif name == "LockReply" and reply.acquired:
                lock = lock_pb2.AcquireLockRequest.FromString(item.raw)
                self.tokens.append((lock.name, reply.fencing_token))

    def any_item(self) -> EnvelopeItem:
        if self.sent and self.random.random() < 0.08:
            return self.random.choice(self.sent[-KEPT_IDENTITIES:])  # repeated, same bytes
        weights = [weight for weight, _ in self.makers]
        (maker,) = self.random.choices([make for _, make in self.makers], weights)
        return self.item(*maker())

    def item(self, kind: Kind, message: Any) -> EnvelopeItem:
        session = 0
        if kind not in {Kind.OPEN_SESSION, Kind.KEEP_ALIVE, Kind.CLOSE_SESSION}:
            session = self.session() if self.random.random() < 0.9 else 0
        sequence = acked = 0
        if session and self.random.random() < 0.8:
            self.sequences[session] += 1
            sequence = self.sequences[session]
            acked = max(0, sequence - self.random.choice((0, 1, 3, 10, 50)))
        raw = message.SerializeToString(deterministic=True)
        item = EnvelopeItem(kind, "", session, sequence, acked, raw)
        self.sent.append(item)
        return item

    def session(self) -> int:
        return self.random.choice(self.sessions[-6:]) if self.sessions else 0

    # ---- sessions

    def open_session(self) -> Made:
        r = self.random
        return Kind.OPEN_SESSION, session_pb2.OpenSessionRequest(
            ttl_ms=r.choice((100, 3_000, 60_000, 60_000, 600_000, 600_000, 99)),
            nonce=b"n%d" % r.randrange(self.number + 2),
            kind=r.choice(("client", "worker", "")),
            name=r.choice(("", "somebody", "\u00e9t\u00e9")),
            labels={f"k{n}": "v" for n in range(r.randrange(4))},
            queues=QUEUES[: r.randrange(3)],
            slots=r.randrange(9),
        )

    def keep_alive(self) -> Made:
        return Kind.KEEP_ALIVE, session_pb2.KeepAliveRequest(session_id=self.session())

    def close_session(self) -> Made:
        return Kind.CLOSE_SESSION, session_pb2.CloseSessionRequest(session_id=self.session())

    # ---- tasks

    def spec(self) -> Any:
        r = self.random
        return task_pb2.TaskSpec(
            queue=r.choice(QUEUES),
            payload=r.randbytes(r.choice((0, 10, 200))),
            priority=r.choice((0, 0, 0, 5, -5)),
            idempotency_key=r.choice(("", "", "", f"key{r.randrange(40)}")),
            type=r.choice(("", "sum", "mail")),
            delay_ms=r.choice((0, 0, 0, 500, 5_000)),
            not_before_unix_ms=r.choice((0, 0, 0, self.wall_ms + 3_000)),
            max_attempts=r.choice((0, 1, 2, 5)),
            backoff_initial_ms=r.choice((0, 100, 90_000)),
            backoff_max_ms=r.choice((0, 1_000)),
            backoff_multiplier_permille=r.choice((0, 1_000, 1_500, 100_000)),
            attempt_timeout_ms=r.choice((0, 0, 3_000)),
            progress_timeout_ms=r.choice((0, 0, 2_000)),
            total_timeout_ms=r.choice((0, 0, 20_000)),
            retention_ms=r.choice((0, 0, 1, 10_000)),
            labels={f"k{n}": f"v{n}" for n in range(r.choice((0, 0, 2)))},
        )

    def submit(self) -> Made:
        count = self.random.choice((1, 1, 2, 8))
        return Kind.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=[self.spec() for _ in range(count)])

    def claim(self) -> Made:
        r = self.random
        return Kind.CLAIM_TASKS, task_pb2.ClaimRequest(
            queues=r.sample(QUEUES, r.randrange(1, 4)),
            max_tasks=r.choice((1, 3, 10)),
            lease_ttl_ms=r.choice((100, 2_000, 30_000)),
            worker=r.choice(("", "w1", "w2")),
        )

    def held(self) -> tuple[str, int]:
        """Mostly one that is held; sometimes an old token, another task's, or nonsense."""
        r = self.random
        if not self.claims or r.random() < 0.05:
            return r.choice((("t1", 1), ("t999999", 3), ("x", 0)))
        task_id, token = r.choice(self.claims[-20:])
        return task_id, token - (r.random() < 0.08)

    def heartbeat(self) -> Made:
        items = []
        for _ in range(self.random.choice((1, 2, 5))):
            task_id, token = self.held()
            item = task_pb2.HeartbeatItem(task_id=task_id, fencing_token=token)
            if self.random.random() < 0.3:
                item.checkpoint = self.random.randbytes(20)
            if self.random.random() < 0.3:
                item.progress_permille = self.random.randrange(1_001)
            items.append(item)
        return Kind.HEARTBEAT_TASKS, task_pb2.HeartbeatRequest(items=items)

    def complete(self) -> Made:
        items = []
        for _ in range(self.random.choice((1, 1, 4))):
            task_id, token = self.held()
            items.append(
                task_pb2.CompleteItem(task_id=task_id, fencing_token=token, result=b"done")
            )
        return Kind.COMPLETE_TASKS, task_pb2.CompleteRequest(items=items)

    def fail(self) -> Made:
        r = self.random
        task_id, token = self.held()
        item = task_pb2.FailItem(
            task_id=task_id, fencing_token=token, error="no \u2603", retryable=r.random() < 0.6
        )
        if r.random() < 0.3:
            item.retry_after_ms = r.choice((0, 700))
        return Kind.FAIL_TASKS, task_pb2.FailRequest(items=[item])

    def release(self) -> Made:
        task_id, token = self.held()
        delay_ms = self.random.choice((0, 900))
        item = task_pb2.ReleaseItem(task_id=task_id, fencing_token=token, delay_ms=delay_ms)
        return Kind.RELEASE_TASKS, task_pb2.ReleaseRequest(items=[item])

    def task(self) -> str:
        return self.random.choice(self.tasks[-60:]) if self.tasks else "t1"

    def cancel(self) -> Made:
        request = task_pb2.CancelTaskRequest(task_id=self.task(), reason="not wanted")
        return Kind.CANCEL_TASK, request

    def retry(self) -> Made:
        return Kind.RETRY_TASK, task_pb2.RetryTaskRequest(task_id=self.task())

    def redrive(self) -> Made:
        queue, limit = self.random.choice((*QUEUES, "none")), self.random.choice((1, 5, 10_000))
        return Kind.REDRIVE_QUEUE, task_pb2.RedriveRequest(queue=queue, limit=limit)

    def pause(self) -> Made:
        queue, paused = self.random.choice(QUEUES), self.random.random() < 0.3
        return Kind.PAUSE_QUEUE, task_pb2.PauseQueueRequest(queue=queue, paused=paused)

    # ---- from level 1 on

    def raise_level(self) -> EnvelopeItem:
        request = cluster_pb2.RaiseLevelRequest(level=self.level)
        return EnvelopeItem(Kind.RAISE_LEVEL, "", 0, 0, 0, request.SerializeToString())

    def set_queue(self) -> Made:
        r = self.random
        return Kind.SET_QUEUE, task_pb2.SetQueueRequest(
            queue=r.choice(QUEUES),
            quota_tasks=r.choice((0, 0, 5, 40)),
            quota_bytes=r.choice((0, 0, 20_000)),
            policy=task_pb2.RetentionPolicy.Value(
                r.choice(("RETENTION_POLICY_REFUSE", "RETENTION_POLICY_DROP_RESULTS_OLDEST"))
            ),
        )

    def delete_queue(self) -> Made:
        r = self.random
        return Kind.DELETE_QUEUE, task_pb2.DeleteQueueRequest(
            queue=r.choice((*QUEUES, "none")), force=r.random() < 0.3, limit=r.choice((0, 3))
        )

    # ---- locks

    def acquire(self) -> Made:
        r = self.random
        return Kind.ACQUIRE_LOCK, lock_pb2.AcquireLockRequest(
            name=r.choice(LOCKS),
            holder=r.choice(("", "a", "b")),
            ttl_ms=r.choice((0, 100, 4_000, 50)),
            wait_ms=r.choice((0, 1_000, 60_000)),
        )

    def lock(self) -> tuple[str, int]:
        if not self.tokens or self.random.random() < 0.1:
            return self.random.choice(LOCKS), 1
        return self.random.choice(self.tokens[-3:])

    def unlock(self) -> Made:
        name, token = self.lock()
        return Kind.RELEASE_LOCK, lock_pb2.ReleaseLockRequest(name=name, fencing_token=token)

    def refresh(self) -> Made:
        name, token = self.lock()
        return Kind.REFRESH_LOCK, lock_pb2.RefreshLockRequest(name=name, fencing_token=token)

    def cancel_wait(self) -> Made:
        name, holder = self.random.choice(LOCKS), self.random.choice(("", "a", "b"))
        return Kind.CANCEL_LOCK_WAIT, lock_pb2.CancelWaitRequest(name=name, holder=holder)

    # ---- keys

    def key(self) -> bytes:
        return b"k%02d" % self.random.randrange(30)

    def interval(self) -> dict[str, bytes]:
        low, high = sorted((self.key(), self.key()))
        return self.random.choice(({"key": low}, {"key": low, "range_end": high}))

    def put(self) -> Made:
        r = self.random
        return Kind.KV_PUT, etcd.PutRequest(
            key=r.choice((self.key(), self.key(), self.key(), b"")),
            value=r.randbytes(r.choice((0, 5, 300))),
            prev_kv=r.random() < 0.3,
            lease=r.choice((0, 0, 0, 0, 9)),
        )

    def delete(self) -> Made:
        request = etcd.DeleteRangeRequest(**self.interval(), prev_kv=self.random.random() < 0.5)
        return Kind.KV_DELETE, request

    def compare(self) -> Any:
        r = self.random
        chosen = r.choice(("version", "create_revision", "mod_revision", "value"))
        operand: Any = b"x" if chosen == "value" else r.randrange(self.revision + 1)
        target = etcd.Compare.CompareTarget.Value(
            {"create_revision": "CREATE", "mod_revision": "MOD"}.get(chosen, chosen.upper())
        )
        return etcd.Compare(
            result=r.randrange(4), target=target, **self.interval(), **{chosen: operand}
        )

    def operation(self, depth: int) -> Any:
        r = self.random
        match r.randrange(5 if depth else 4):
            case 0:
                read = etcd.RangeRequest(
                    **self.interval(),
                    limit=r.choice((0, 3)),
                    revision=r.choice((0, max(0, self.revision - 9), max(0, self.revision - 300))),
                    sort_order=r.randrange(3),
                    sort_target=r.randrange(5),
                    count_only=r.random() < 0.2,
                )
                return etcd.RequestOp(request_range=read)
            case 1 | 2:
                return etcd.RequestOp(request_put=self.put()[1])
            case 3:
                return etcd.RequestOp(request_delete_range=self.delete()[1])
            case _:
                return etcd.RequestOp(request_txn=self.transaction(depth - 1))

    def transaction(self, depth: int) -> Any:
        r = self.random
        return etcd.TxnRequest(
            compare=[self.compare() for _ in range(r.randrange(3))],
            success=[self.operation(depth) for _ in range(r.randrange(4))],
            failure=[self.operation(depth) for _ in range(r.randrange(4))],
        )

    def txn(self) -> Made:
        return Kind.KV_TXN, self.transaction(2)

    def compact(self) -> Made:
        revision = max(0, self.revision - self.random.choice((-5, 0, 40)))
        return Kind.KV_COMPACT, etcd.CompactionRequest(revision=revision)

    # ---- much at once

    def mass(self) -> list[EnvelopeItem]:
        """The latest session takes very much, and is not heard of again."""
        specs = [task_pb2.TaskSpec(queue="mass", max_attempts=1) for _ in range(MASS)]
        session = self.sessions[-1] if self.sessions else 0
        claim = task_pb2.ClaimRequest(queues=["mass"], max_tasks=MASS, lease_ttl_ms=80_000)
        made: list[Made] = [
            (Kind.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=specs)),
            (Kind.CLAIM_TASKS, claim),
            (Kind.REDRIVE_QUEUE, task_pb2.RedriveRequest(queue="mass", limit=10_000)),
        ]
        for number in range(60):
            lock = lock_pb2.AcquireLockRequest(name=f"m{number % 40}", holder=f"h{number}")
            lock.wait_ms = 70_000
            made.append((Kind.ACQUIRE_LOCK, lock))
        return [
            EnvelopeItem(kind, "", session, 0, 0, message.SerializeToString(deterministic=True))
            for kind, message in made
        ]

    def largest(self) -> list[EnvelopeItem]:
        """At the old build's limits, and one beyond them: all of it is in logs."""
        r = self.random
        label = {f"label{n}": "v" for n in range(32)}
        puts = [etcd.RequestOp(request_put=etcd.PutRequest(key=b"big%d" % n)) for n in range(513)]
        waits = [session_pb2.OpenSessionRequest(ttl_ms=86_400_000 + n, nonce=b"x") for n in (0, 1)]
        specs = [task_pb2.TaskSpec(queue="mass", labels=label) for _ in range(1_001)]
        made: list[Made] = [
            (Kind.KV_TXN, etcd.TxnRequest(success=puts[:512])),
            (Kind.KV_TXN, etcd.TxnRequest(success=puts)),
            (Kind.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=specs[:1_000])),
            (Kind.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=specs)),
            (Kind.REDRIVE_QUEUE, task_pb2.RedriveRequest(queue="mass", limit=10_001)),
            (Kind.KV_PUT, etcd.PutRequest(key=b"k" * 4_096, value=r.randbytes(20_000))),
            (Kind.KV_PUT, etcd.PutRequest(key=b"k" * 4_097)),
            (Kind.KV_DELETE, etcd.DeleteRangeRequest(key=b"big", range_end=b"bih", prev_kv=True)),
            *((Kind.OPEN_SESSION, one) for one in waits),
        ]
        return [self.item(kind, message) for kind, message in made]
