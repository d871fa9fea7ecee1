"""Simulated clients: each has a session, does one thing after the other, and repeats what was not
answered under the same sequence, at another node, until it is answered or gives up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from chaos.sim.clock import SimClock
from chaos.sim.plan import SimPlan
from chaos.sim.promises import Promises
from chaos.sim.service import CALL_S, Done, Outcome, Service, item_of
from chaos.sim.sizes import BULK_KEYS, MAX_REQUEST_BYTES, Sizes
from coord.codec.kinds import CommandKind
from coord.core.base.limits import LIMITS
from coord.core.base.refusal import Reason, Rejected
from coord.core.kv.commands import KvTxnReply
from coord.core.locks.commands import LockReply
from coord.core.sessions.commands import SessionOpened
from coord.core.tasks.commands import Claimed, ItemOutcomes, Submitted
from coord.pb import etcd_rpc_pb2, lock_pb2, session_pb2, task_pb2

SESSION_MS = 3_000
LEASE_MS = 1_500
HOLD_BACK_MS = 250  # of heartbeats
ATTEMPT_S = CALL_S
PATIENCE_S = 4.0
CLAIM_WAITS_S = (0.0, 0.1, 0.4)
QUEUE = "work"
KEYS = ("a", "b", "c")
LOCKS = ("red", "green")


class ClientPort(Protocol):
    """How a client reaches the nodes."""

    def ask(self, node_id: str, action: Callable[[Service, Done], None], done: Done) -> None:
        """Send a request, and some time later call back with the answer; or never."""
        ...


@dataclass(slots=True)
class _Call:
    """One operation and its attempts."""

    f: str
    key: str | None
    value: Any
    action: Callable[[Service, Done], None]
    finish: Callable[[Any], tuple[bool, Any]]  # reply -> (ok or fail, value for the history)
    asked_at: float
    repeatable: bool  # a repeat changes nothing
    attempt: int = 0
    uncertain: bool = False  # an earlier attempt may yet take effect
    over: bool = False


class SimClient:
    """One client. `stop` keeps it from beginning anything new."""

    def __init__(
        self, number: int, plan: SimPlan, clock: SimClock, port: ClientPort, promises: Promises
    ) -> None:
        self.number = number
        self.stopped = False
        self.busy = False  # with an operation
        self._plan = plan
        self._clock = clock
        self._port = port
        self._promises = promises
        self._rng = Random(f"client/{plan.seed}/{number}")
        self._sizes = Sizes(plan, number)
        self._process = number
        self._made = 0
        self._target = self._rng.choice(plan.all_ids)
        self._session = 0
        self._sequence = 0
        self._tasks: list[tuple[str, int]] = []
        self._locks: dict[str, int] = {}
        self._last_written: dict[str, int] = {}
        clock.after(self._rng.uniform(0, 0.5), self._next)

    # What to do

    def _next(self) -> None:
        if self.stopped:
            return
        rng = self._rng
        if not self._session:
            self._open_session()
            return
        choices: list[Callable[[], None]] = [self._read, self._read, self._write, self._write]
        choices += [self._cas, self._submit, self._acquire]
        choices += [self._complete, self._heartbeat] if self._tasks else [self._claim, self._claim]
        if self._locks:
            choices.append(self._release)
        if self._sizes.chance(0.15):
            choices = [self._bulk]
        rng.choice(choices)()

    def _open_session(self) -> None:
        self._made += 1
        nonce = b"%d-%d" % (self.number, self._made)
        raw = session_pb2.OpenSessionRequest(ttl_ms=SESSION_MS, nonce=nonce).SerializeToString()

        def finish(reply: Any) -> tuple[bool, Any]:
            if isinstance(reply, SessionOpened):
                self._session, self._sequence = reply.session_id, 0
                return True, reply.session_id
            return False, None

        item = item_of(CommandKind.OPEN_SESSION, raw)
        self._begin("open", None, None, lambda s, d: s.write(item, d), finish)

    def _read(self) -> None:
        key = self._rng.choice(KEYS)

        def finish(reply: Any) -> tuple[bool, Any]:
            return True, None if reply is None else int(reply)

        raw_key = key.encode()
        self._begin("read", key, None, lambda s, d: s.get(raw_key, d), finish, repeatable=True)

    def _write(self) -> None:
        key, value = self._rng.choice(KEYS), self._new_value()
        raw = etcd_rpc_pb2.PutRequest(key=key.encode(), value=self._text(value))
        self._log("write", key, value, CommandKind.KV_PUT, raw, lambda reply: (True, value))

    def _cas(self) -> None:
        key, new = self._rng.choice(KEYS), self._new_value()
        old = self._last_written.get(key)
        if old is None:
            self._write()
            return
        compare = etcd_rpc_pb2.Compare(
            key=key.encode(),
            target=etcd_rpc_pb2.Compare.VALUE,
            result=etcd_rpc_pb2.Compare.EQUAL,
            value=self._text(old),
        )
        put = etcd_rpc_pb2.PutRequest(key=key.encode(), value=self._text(new))
        raw = etcd_rpc_pb2.TxnRequest(
            compare=[compare], success=[etcd_rpc_pb2.RequestOp(request_put=put)]
        )

        def finish(reply: Any) -> tuple[bool, Any]:
            return isinstance(reply, KvTxnReply) and reply.succeeded, [old, new]

        self._log("cas", key, [old, new], CommandKind.KV_TXN, raw, finish)

    def _submit(self) -> None:
        payloads: list[bytes] = []
        size = 0
        for _ in range(self._sizes.count(1, LIMITS.max_batch_items)):
            payload = self._sizes.padded(self._new_value(), LIMITS.max_payload_bytes)
            size += len(payload)
            if payloads and size > MAX_REQUEST_BYTES:
                break
            payloads.append(payload)
        raw = task_pb2.SubmitRequest(
            tasks=[
                # The type tells tasks apart when they are completed and have no payload any more.
                task_pb2.TaskSpec(
                    queue=QUEUE,
                    type=payload.decode().rstrip(),
                    payload=payload,
                    max_attempts=1_000,
                )
                for payload in payloads
            ]
        )

        def finish(reply: Any) -> tuple[bool, Any]:
            if not isinstance(reply, Submitted):
                return False, None
            made = [task_id for task_id, _, _ in reply.tasks]
            self._promises.submitted.update(zip(made, payloads, strict=True))
            return True, made[0] if len(made) == 1 else made

        value = payloads[0].decode().rstrip()
        self._log("submit", QUEUE, value, CommandKind.SUBMIT_TASKS, raw, finish)

    def _claim(self) -> None:
        asked_at = self._clock.now
        count = self._sizes.count(self._rng.choice((1, 1, 3)), LIMITS.max_batch_items)
        raw = task_pb2.ClaimRequest(queues=[QUEUE], max_tasks=count, lease_ttl_ms=LEASE_MS)

        def finish(reply: Any) -> tuple[bool, Any]:
            if not isinstance(reply, Claimed):
                return False, None
            for task_id, token, _, ttl_ms in reply.tasks:
                self._tasks.append((task_id, token))
                self._promises.granted(
                    ("task", task_id), self.number, token, asked_at, self._clock.now, ttl_ms
                )
            return True, [list(task) for task in reply.tasks]

        self._log("claim", QUEUE, None, CommandKind.CLAIM_TASKS, raw, finish)

    def _complete(self) -> None:
        task_id, token = self._tasks.pop(0)
        result = self._sizes.padded(self._new_value(), LIMITS.max_payload_bytes)
        raw = task_pb2.CompleteRequest(
            items=[task_pb2.CompleteItem(task_id=task_id, fencing_token=token, result=result)]
        )
        self._promises.giving_up(("task", task_id), token)

        def finish(reply: Any) -> tuple[bool, Any]:
            if not isinstance(reply, ItemOutcomes) or reply.items[0].rejected is not None:
                return False, None
            self._promises.completed[task_id] = result
            return True, shown

        shown = result.decode().rstrip()
        self._log("complete", task_id, shown, CommandKind.COMPLETE_TASKS, raw, finish)

    def _heartbeat(self) -> None:
        asked_at = self._clock.now
        task_id, token = self._tasks[0]
        raw = task_pb2.HeartbeatRequest(
            items=[task_pb2.HeartbeatItem(task_id=task_id, fencing_token=token)]
        )
        if self._sizes.chance(0.5):
            checkpoint = self._sizes.padded(self._new_value(), LIMITS.max_payload_bytes)
            raw.items[0].checkpoint = checkpoint

        def finish(reply: Any) -> tuple[bool, Any]:
            if isinstance(reply, ItemOutcomes) and reply.items[0].rejected is None:
                self._promises.renewed(("task", task_id), token, asked_at, LEASE_MS)
                return True, None
            self._tasks = [task for task in self._tasks if task != (task_id, token)]
            return False, None

        self._log("heartbeat", task_id, token, CommandKind.HEARTBEAT_TASKS, raw, finish)

    def _acquire(self) -> None:
        asked_at, name = self._clock.now, self._rng.choice(LOCKS)
        raw = lock_pb2.AcquireLockRequest(name=name, holder=str(self.number))

        def finish(reply: Any) -> tuple[bool, Any]:
            if not isinstance(reply, LockReply) or not reply.acquired:
                return False, None
            token = reply.fencing_token
            self._locks[name] = token
            self._promises.granted(
                ("lock", name), self.number, token, asked_at, self._clock.now, SESSION_MS
            )
            return True, token

        self._log("acquire", name, None, CommandKind.ACQUIRE_LOCK, raw, finish)

    def _release(self) -> None:
        name, token = self._locks.popitem()
        raw = lock_pb2.ReleaseLockRequest(name=name, fencing_token=token)
        self._promises.giving_up(("lock", name), token)
        self._log(
            "release",
            name,
            token,
            CommandKind.RELEASE_LOCK,
            raw,
            lambda reply: (not isinstance(reply, Rejected), None),
        )

    def _bulk(self) -> None:
        """Many keys at once: written, read with all their values, or deleted."""
        count = self._sizes.count(20, LIMITS.max_txn_ops)
        first = self._sizes.chosen(BULK_KEYS)
        reads = self._sizes.chance(0.4)
        operations = []
        for number in range(count):
            key = b"bulk/%05d" % ((first + number) % BULK_KEYS if count <= BULK_KEYS else number)
            if reads:
                read = etcd_rpc_pb2.RangeRequest(key=b"bulk/", range_end=b"bulk0", limit=number)
                operations.append(etcd_rpc_pb2.RequestOp(request_range=read))
            else:
                put = etcd_rpc_pb2.PutRequest(key=key, value=b"%d" % number, prev_kv=True)
                operations.append(etcd_rpc_pb2.RequestOp(request_put=put))
        raw: Any = etcd_rpc_pb2.TxnRequest(success=operations)
        kind = CommandKind.KV_TXN
        if self._sizes.chance(0.2):
            raw = etcd_rpc_pb2.DeleteRangeRequest(key=b"bulk/", range_end=b"bulk0", prev_kv=True)
            kind = CommandKind.KV_DELETE
        self._log("bulk", None, count, kind, raw, lambda reply: (True, count))

    def _text(self, value: int) -> bytes:
        return self._sizes.padded(value, LIMITS.max_value_bytes)

    def _new_value(self) -> int:
        self._made += 1
        return self.number * 1_000_000 + self._made

    # How it is done

    def _log(
        self,
        f: str,
        key: str | None,
        value: Any,
        kind: CommandKind,
        message: Any,
        finish: Callable[[Any], tuple[bool, Any]],
    ) -> None:
        """A command of this session. The client has every earlier reply, and mostly says so."""
        self._sequence += 1
        raw = message.SerializeToString()
        acked_below = max(0, self._sequence - self._sizes.behind())
        item = item_of(kind, raw, self._session, self._sequence, acked_below)
        owner = str(self.number)
        if kind is CommandKind.CLAIM_TASKS:
            wait_s = self._rng.choice(CLAIM_WAITS_S)
            self._begin(f, key, value, lambda s, d: s.claim(item, wait_s, d, owner=owner), finish)
            return
        hold_ms = HOLD_BACK_MS if kind is CommandKind.HEARTBEAT_TASKS else 0
        self._begin(
            f, key, value, lambda s, d: s.write(item, d, owner=owner, hold_ms=hold_ms), finish
        )

    def _begin(
        self,
        f: str,
        key: str | None,
        value: Any,
        action: Callable[[Service, Done], None],
        finish: Callable[[Any], tuple[bool, Any]],
        *,
        repeatable: bool = False,
    ) -> None:
        self.busy = True
        call = _Call(f, key, value, action, finish, self._clock.now, repeatable)
        self._promises.record(self._clock.now, self._process, "invoke", f, key, value)
        self._attempt(call)

    def _attempt(self, call: _Call) -> None:
        call.attempt += 1
        number = call.attempt

        def answered(outcome: Outcome) -> None:
            if not call.over and call.attempt == number:
                self._answered(call, outcome)

        def timed_out() -> None:
            if not call.over and call.attempt == number:
                call.uncertain = True
                self._elsewhere(call, None)

        self._port.ask(self._target, call.action, answered)
        self._clock.after(ATTEMPT_S, timed_out)

    def _answered(self, call: _Call, outcome: Outcome) -> None:
        if outcome.kind == "ok":
            self._finish(call, outcome.reply)
            return
        call.uncertain = call.uncertain or outcome.kind == "unknown"
        self._elsewhere(call, outcome.reply)

    def _elsewhere(self, call: _Call, hint: str | None) -> None:
        """Try again at another node, or give up."""
        others = [node for node in self._plan.all_ids if node != self._target]
        self._target = hint or self._rng.choice(others)
        if self._clock.now - call.asked_at < PATIENCE_S:
            call.attempt += 1  # what still comes from the attempt before is too late
            self._clock.after(self._rng.uniform(0.005, 0.08), lambda: self._attempt(call))
        else:
            self._end(call, "info" if call.uncertain and not call.repeatable else "fail", None)

    def _finish(self, call: _Call, reply: Any) -> None:
        if isinstance(reply, Rejected) and reply.reason in (
            Reason.SESSION_NOT_FOUND,
            Reason.SEQUENCE_FORGOTTEN,
        ):
            self._forget_session()
            self._end(call, "info" if call.uncertain else "fail", None)
            return
        happened, value = (False, None) if isinstance(reply, Rejected) else call.finish(reply)
        if happened and call.f in ("write", "cas"):
            self._promises.written_at = self._clock.now
        if call.key in KEYS and isinstance(value, int | list) and (happened or call.f == "read"):
            self._last_written[call.key] = value[1] if isinstance(value, list) else value
        if call.f != "claim" or value:  # an empty claim was not logged
            self._renew(call)
        self._end(call, "ok" if happened else "fail", value)

    def _renew(self, call: _Call) -> None:
        """Every command of a session is a sign of life."""
        if not call.repeatable:
            for name, token in self._locks.items():
                self._promises.renewed(("lock", name), token, call.asked_at, SESSION_MS)

    def _forget_session(self) -> None:
        self._session = 0
        self._tasks.clear()
        self._locks.clear()

    def _end(self, call: _Call, kind: Any, value: Any) -> None:
        call.over = True
        self.busy = False
        now = self._clock.now
        shown = call.value if kind != "ok" or value is None else value
        if call.f == "read":
            shown = value
        self._promises.record(now, self._process, kind, call.f, call.key, shown)
        if kind == "info":
            self._process += 1_000
        rng = self._rng
        pause = rng.random() * self._plan.think_s if rng.random() < 0.98 else rng.uniform(1, 4)
        self._clock.after(pause, self._next)
