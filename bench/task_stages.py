"""Processor time of every stage of a task, without network and disk: a client, a leader and a
follower in one process. `.venv/bin/python -m bench.task_stages [BATCH]`.

The figures of docs/performance.md ("Many tasks a call") are the least of several rounds."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.message import Message

from coord.client.tasks.claims import claimed_task
from coord.client.tasks.convert import groups, item_results, spec_message
from coord.client.types import ClaimedTask, SubmittedTask, TaskSpec
from coord.codec.commands import decode_request
from coord.codec.envelope import EnvelopeItem, encode_envelope, to_batch
from coord.codec.kinds import CommandKind
from coord.codec.lookup import StateLookup
from coord.codec.replies import ReplyEncoder
from coord.core.base.build import COMPILED
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Request
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from coord.core.validate import validate
from coord.pb import common_pb2
from coord.pb import task_pb2 as pb

REQUESTS = 4  # of one kind in an entry
ENTRIES = 20  # of each kind in a round
ROUNDS = 5
# The leases of a round run out, as far as timers know, in the next one.
ENTRY_MS = 20
LEASE_TTL_MS = ENTRIES * 3 * ENTRY_MS
PAYLOAD = bytes(100)


class Stages:
    """One client, leader and follower; `spent_s` by stage."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._leader, self._follower = Machine(), Machine()
        self._encoder = ReplyEncoder("cluster", "n1", 1, 2)
        self._now_ms = 1
        self._sequence = 0
        self.spent_s: dict[str, float] = defaultdict(float)
        opening = Batch(1, 1, [Request(OpenSession(60_000, b"nonce"))])
        for machine in (self._leader, self._follower):
            machine.apply(opening)
        self._session_id = self._leader.revision

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.thread_time()
        yield
        self.spent_s[stage] += time.thread_time() - began

    def cycle(self) -> None:
        """An entry of each kind."""
        self._submit()
        self._complete(self._claim())

    def _header(self) -> common_pb2.RequestHeader:
        self._sequence += 1
        acked = max(1, self._sequence - 2 * REQUESTS)
        return common_pb2.RequestHeader(
            session_id=self._session_id, sequence=self._sequence, acked_below=acked
        )

    def _submit(self) -> None:
        specs, raws = [TaskSpec("q", PAYLOAD)] * self._batch, []
        with self._timed("client"):
            for _ in range(REQUESTS):
                messages = [spec_message(spec) for spec in specs]
                for group, _ in groups(messages):
                    raws.append(_bytes(pb.SubmitRequest(header=self._header(), tasks=group)))
        answers = self._entry(CommandKind.SUBMIT_TASKS, raws)
        with self._timed("client"):
            for answer in answers:
                reply = pb.SubmitResponse.FromString(answer)
                [SubmittedTask(task.task_id, task.revision, task.existed) for task in reply.tasks]

    def _claim(self) -> list[list[ClaimedTask]]:
        with self._timed("client"):
            raws = [
                _bytes(
                    pb.ClaimRequest(
                        header=self._header(),
                        queues=["q"],
                        max_tasks=self._batch,
                        lease_ttl_ms=LEASE_TTL_MS,
                    )
                )
                for _ in range(REQUESTS)
            ]
        answers = self._entry(CommandKind.CLAIM_TASKS, raws)
        with self._timed("client"):
            replies = [pb.ClaimResponse.FromString(answer) for answer in answers]
            return [[claimed_task(one, self._session_id, 0.0) for one in r.tasks] for r in replies]

    def _complete(self, claims: list[list[ClaimedTask]]) -> None:
        raws = []
        with self._timed("client"):
            for tasks in claims:
                items = [
                    pb.CompleteItem(
                        task_id=t.task_id, fencing_token=t.fencing_token, result=PAYLOAD
                    )
                    for t in tasks
                ]
                for group, _ in groups(items):
                    raws.append(_bytes(pb.CompleteRequest(header=self._header(), items=group)))
        answers = self._entry(CommandKind.COMPLETE_TASKS, raws)
        with self._timed("client"):
            for answer in answers:
                item_results(pb.CompleteResponse.FromString(answer))

    def _entry(self, kind: CommandKind, raws: list[bytes]) -> list[bytes]:
        self._now_ms += ENTRY_MS
        with self._timed("leader: parse"):
            decoded = [decode_request(kind, raw) for raw in raws]
        with self._timed("leader: check"):
            assert not any(validate(command) for command, _ in decoded)
        with self._timed("leader: envelope"):
            items = [_item(kind, raw, known) for raw, (_, known) in zip(raws, decoded, strict=True)]
            data = encode_envelope(self._now_ms, self._now_ms, items)
        batch = Batch(self._now_ms, self._now_ms, [Request(*one) for one in decoded])
        with self._timed("leader: apply"):
            replies = self._leader.apply(batch).replies
        with self._timed("leader: answers"):
            self._encoder.at(1, self._leader.revision)
            lookup = StateLookup(self._leader.state, self._now_ms)
            answers = [
                self._encoder.encode(kind, command, reply, lookup)
                for (command, _), reply in zip(decoded, replies, strict=True)
            ]
        with self._timed("follower: parse"):
            batch = to_batch(data)
        with self._timed("follower: apply"):
            self._follower.apply(batch)
        return answers


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def _item(kind: int, raw: bytes, known: RequestId | None) -> EnvelopeItem:
    known = known or RequestId(0, 0, 0)
    return EnvelopeItem(kind, "anonymous", known.session_id, known.sequence, known.acked_below, raw)


def main() -> None:
    batch = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    stages = Stages(batch)
    least: dict[str, float] = {}
    for _ in range(ROUNDS + 1):  # the first one warms up
        stages.spent_s.clear()
        for _ in range(ENTRIES):
            stages.cycle()
        for stage, seconds in stages.spent_s.items():
            us = seconds * 1e6 / (ENTRIES * REQUESTS * batch)
            least[stage] = min(least.get(stage, us), us)
    print(f"{batch} tasks a request, core {'compiled' if COMPILED else 'pure Python'}; us a task")
    for stage, us in sorted(least.items()):
        print(f"  {stage:20} {us:6.2f}")


if __name__ == "__main__":
    main()
