"""Memory that each kind of object in the state takes, beside what the account says of it
(`coord.core.sizes`). Each kind is measured in a process of its own, by what the process has grown.

    scripts/bytes_per_object [--count N] [--markdown]"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from coord.core.account import state_size
from coord.core.base.build import COMPILED
from coord.core.base.limits import LIMITS
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Command, Reply, Request
from coord.core.cluster.commands import RaiseLevel
from coord.core.kv.commands import KvCompact, KvPut
from coord.core.locks.commands import AcquireLock
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession, SessionOpened
from coord.core.tasks.commands import (
    Claimed,
    ClaimTasks,
    CompleteItem,
    CompleteTasks,
    FailItem,
    FailTasks,
    SetQueue,
    SubmitTasks,
    TaskSpec,
)

BATCH: Final = 100
PAYLOAD_BYTES: Final = 100
RESULT_BYTES: Final = 50
ROOT: Final = Path(__file__).resolve().parents[1]


class Filler:
    """A machine at the newest level, and what puts objects into it."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.now_ms = 0
        self.do(RaiseLevel(1))
        self.owner = self.open("owner")

    def do(self, *commands: Command, session_id: int = 0, sequence: int = 0) -> list[Reply]:
        """One batch, some milliseconds after the one before."""
        self.now_ms += 10
        request_id = RequestId(session_id, sequence, 0) if session_id else None
        requests = [Request(command, request_id) for command in commands]
        return self.machine.apply(Batch(self.now_ms, self.now_ms, requests)).replies

    def open(self, name: str) -> int:
        reply = self.do(OpenSession(LIMITS.max_ttl_ms, os.urandom(16), name=name))[0]
        assert isinstance(reply, SessionOpened), reply
        return reply.session_id

    def submit(self, at: int, key: str = "") -> None:
        self.do(
            SubmitTasks(
                [
                    TaskSpec(
                        "q", os.urandom(PAYLOAD_BYTES), idempotency_key=key and f"{key}-{at}-{one}"
                    )
                    for one in range(BATCH)
                ]
            )
        )

    def claim(self) -> list[tuple[str, int]]:
        claim = ClaimTasks(("q",), BATCH, LIMITS.max_ttl_ms, "worker")
        reply = self.do(claim, session_id=self.owner)[0]
        assert isinstance(reply, Claimed), reply
        return [(task_id, token) for task_id, token, *_ in reply.tasks]

    def complete(self) -> None:
        items = [CompleteItem(*held, os.urandom(RESULT_BYTES)) for held in self.claim()]
        self.do(CompleteTasks(items))


def _pending(filler: Filler, at: int) -> None:
    filler.submit(at)


def _claimed(filler: Filler, at: int) -> None:
    filler.submit(at)
    filler.claim()


def _completed(filler: Filler, at: int) -> None:
    filler.submit(at)
    filler.complete()


def _tombstone(filler: Filler, at: int) -> None:
    if not at:
        filler.do(SetQueue("q", quota_tasks=1, policy=2))
    for one in range(BATCH):
        name = f"some-key-{at}-{one}"
        filler.do(SubmitTasks([TaskSpec("q", b"", idempotency_key=name)]))
        filler.complete()


def _keyed(filler: Filler, at: int) -> None:
    filler.submit(at, "some-key")
    filler.complete()


def _dead(filler: Filler, at: int) -> None:
    filler.submit(at)
    filler.do(FailTasks([FailItem(*held, "it failed", False) for held in filler.claim()]))


def _session(filler: Filler, at: int) -> None:
    for one in range(BATCH):
        filler.open(f"client-{at}-{one}")


def _queue(filler: Filler, at: int) -> None:
    filler.do(*[SetQueue(f"queue-{at}-{one}", quota_tasks=5) for one in range(BATCH)])


def _lock(filler: Filler, at: int) -> None:
    locks = [AcquireLock(f"lock-{at}-{one}", "holder", 60_000, 0) for one in range(BATCH)]
    filler.do(*locks, session_id=filler.owner)


def _waiter(filler: Filler, at: int) -> None:
    if at % 50 == 0:
        filler.do(AcquireLock(f"lock-{at}", "holder", 0, 0), session_id=filler.owner)
    name = f"lock-{at - at % 50}"
    waits = [AcquireLock(name, f"h-{at}-{one}", 0, 60_000_000) for one in range(BATCH)]
    filler.do(*waits, session_id=filler.owner)


def _key(filler: Filler, at: int) -> None:
    for one in range(BATCH):
        filler.do(KvPut(b"some/key/%d/%d" % (at, one), os.urandom(PAYLOAD_BYTES)))
    filler.do(KvCompact(filler.machine.revision))


def _changed_key(filler: Filler, at: int) -> None:
    filler.do(*[KvPut(b"k%d" % one, os.urandom(PAYLOAD_BYTES)) for one in range(BATCH)])


def _reply(filler: Filler, at: int) -> None:
    if at % 40 == 0:
        filler.owner = filler.open(f"client-{at}")
    for one in range(BATCH):
        sequence = 1 + at % 40 * BATCH + one
        filler.do(KvPut(b"k", b"v"), session_id=filler.owner, sequence=sequence)
    filler.do(KvCompact(filler.machine.revision))


KINDS: Final[dict[str, tuple[str, Callable[[Filler, int], None]]]] = {
    "pending": (f"task that waits, payload of {PAYLOAD_BYTES} bytes", _pending),
    "claimed": ("the same, claimed", _claimed),
    "completed": (f"completed task, result of {RESULT_BYTES} bytes", _completed),
    "keyed": ("the same with an idempotency key", _keyed),
    "dead": ("dead task with its payload", _dead),
    "tombstone": ("idempotency key of a forgotten task", _tombstone),
    "session": ("session", _session),
    "queue": ("queue without tasks", _queue),
    "lock": ("lock", _lock),
    "waiter": ("waiter for a lock", _waiter),
    "key": (f"key with a value of {PAYLOAD_BYTES} bytes", _key),
    "change": ("the same, earlier value in the history", _changed_key),
    "reply": ("kept reply of a put", _reply),
}


def measure(kind: str, count: int) -> dict[str, float]:
    """In this process: bytes that it grows by for each object, and that the account grows by."""
    filler = Filler()
    fill = KINDS[kind][1]
    fill(filler, 0)
    gc.collect()
    memory, account = _resident_bytes(), state_size(filler.machine.state)
    for at in range(1, count // BATCH + 1):
        fill(filler, at)
    gc.collect()
    made = count // BATCH * BATCH
    return {
        "measured": (_resident_bytes() - memory) / made,
        "account": (state_size(filler.machine.state) - account) / made,
    }


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _in_a_process(kind: str, count: int) -> dict[str, float]:
    argv = [sys.executable, "-m", "bench.bytes_per_object", "--one", kind]
    done = subprocess.run(
        [*argv, "--count", str(count)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(argv: list[str] | None = None) -> None:
    """Print the table, or one measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50_000, help="objects of each kind")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    wanted: Any = parser.parse_args(argv)
    if wanted.one:
        print(json.dumps(measure(wanted.one, wanted.count)))
        return
    cells = [("object", "measured", "account")]
    for kind, (what, _) in KINDS.items():
        found = _in_a_process(kind, wanted.count)
        cells.append((what, f"{found['measured']:,.0f}", f"{found['account']:,.0f}"))
    if wanted.markdown:
        cells.insert(1, ("---", "---:", "---:"))
        for row in cells:
            print(f"| {' | '.join(row)} |")
    else:
        for row in cells:
            print(f"{row[0]:<50} {row[1]:>10} {row[2]:>10}")
        print(f"bytes each; core {'compiled' if COMPILED else 'in Python'}")


if __name__ == "__main__":
    main()
