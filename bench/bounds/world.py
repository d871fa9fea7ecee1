"""A state machine with much in it, and the requests of one session."""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Any

from coord.codec.envelope import EnvelopeItem, encode_envelope, to_batch
from coord.codec.kinds import CommandKind
from coord.core.batch import Batch, Reply, Request
from coord.core.cluster.commands import RaiseLevel
from coord.core.kv.commands import KvPut
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession, SessionOpened
from coord.pb import task_pb2

K = CommandKind
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One applied entry: its reply and the processor time of decoding and applying it."""

    reply: Any
    decode_ms: float
    apply_ms: float

    @property
    def total_ms(self) -> float:
        return self.decode_ms + self.apply_ms


class World:
    """A machine at a level, with `keys` keys that were each written twice, and one session."""

    def __init__(self, keys: int, level: int = 1) -> None:
        self.machine = Machine()
        self.sequence = 0
        opening = [Request(OpenSession(24 * HOUR_MS, b"bounds"))]
        if level:
            opening.insert(0, Request(RaiseLevel(level)))
        opened = self._apply(Batch(1, 1, opening))[-1]
        assert isinstance(opened, SessionOpened)
        self.session_id = opened.session_id
        self.keys = keys
        for value in (b"v" * 50, b"w" * 50):
            for number in range(keys):
                self._apply(Batch(1, 1, [Request(KvPut(key(number), value))]))

    def run(self, kind: CommandKind, message: Any) -> Measured:
        """Carry out one request as a follower does: from the bytes of its log entry."""
        self.sequence += 1
        raw = message.SerializeToString()
        state = self.machine.state
        item = EnvelopeItem(
            kind, "", self.session_id, self.sequence, max(1, self.sequence - 5), raw
        )
        data = encode_envelope(state.now_ms + 1, 1, [item])
        gc.disable()  # a node collects when it has time
        try:
            began = time.thread_time()
            batch = to_batch(data)
            decoded = time.thread_time()
            replies = self._apply(batch)
            ended = time.thread_time()
        finally:
            gc.enable()
        return Measured(replies[0], (decoded - began) * 1_000, (ended - decoded) * 1_000)

    def idle(self) -> float:
        """Apply an empty entry; milliseconds."""
        now_ms = self.machine.state.now_ms
        began = time.thread_time()
        self._apply(Batch(now_ms + 1, 1, []))
        return (time.thread_time() - began) * 1_000

    def claimed(self, count: int, queue: str = "held") -> list[tuple[str, int]]:
        """Ids and fencing tokens of so many new tasks that the session holds."""
        tasks = [task_pb2.TaskSpec(queue=queue, payload=b"p" * 100) for _ in range(count)]
        self.run(K.SUBMIT_TASKS, task_pb2.SubmitRequest(tasks=tasks))
        claim = task_pb2.ClaimRequest(queues=[queue], max_tasks=count, lease_ttl_ms=HOUR_MS)
        reply = self.run(K.CLAIM_TASKS, claim).reply
        return [(task_id, token) for task_id, token, _, _ in reply.tasks]

    def _apply(self, batch: Batch) -> list[Reply]:
        return self.machine.apply(batch).replies


def key(number: int) -> bytes:
    """The key of that number; they sort as the numbers do."""
    return b"key/%08d" % number
