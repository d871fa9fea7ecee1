"""Defects of the published engine that need no simulated cluster to be seen: one node, a schedule
of a few steps, and what it then does wrong. docs/replication.md says how each is mended.

When one of these fails, the library under the product is another one than was proved against.
"""

from __future__ import annotations

import contextlib
import pickle
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import pysyncobj.syncobj as library
import pytest
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from coord.replication.messages import InvalidMessageError, check_message
from tests.support.replication import free_ports


class Wire(Transport):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(None, None, [])
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        self.sent.append((node.id, message))
        return True

    def addNode(self, node: Node) -> None:  # noqa: N802
        """A member more."""

    def destroy(self) -> None:
        """Nothing is held."""


class Counter(SyncObj):  # type: ignore[misc]
    """A replicated number."""

    def __init__(self, peers: tuple[str, ...] = (), **settings: Any) -> None:
        self.value = 0
        self.fails = False
        self.wire = Wire()
        conf = SyncObjConf(autoTick=False, useFork=False, **settings)
        super().__init__(Node("n1"), [Node(p) for p in peers], conf, transport=self.wire)

    @replicated  # type: ignore[untyped-decorator]
    def add(self, amount: int) -> int:
        self.value += amount
        if self.fails:
            self.fails = False
            raise RuntimeError("something unexpected")
        return self.value

    def hear(self, peer: str, message: dict[str, Any]) -> None:
        self._SyncObj__onMessageReceived(Node(peer), message)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(library, "monotonicTime", lambda: self.now)

    def pass_(self, engine: SyncObj, seconds: float) -> None:
        """Tick on, in steps."""
        for _ in range(int(seconds / 0.05)):
            self.now += 0.05
            engine.doTick(0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a6_an_apply_that_raises_is_applied_again(clock: Clock) -> None:
    engine = Counter()
    clock.pass_(engine, 2.0)
    engine.fails = True
    engine.add(1)
    with pytest.raises(RuntimeError):
        clock.pass_(engine, 0.2)
    clock.pass_(engine, 0.2)
    assert engine.value == 2  # one command, applied twice


def test_a6_a_callback_that_raises_applies_the_entry_twice(clock: Clock) -> None:
    engine = Counter()
    clock.pass_(engine, 2.0)

    def callback(result: object, error: object) -> None:
        raise RuntimeError("in a callback")

    engine.add(1, callback=callback)
    with pytest.raises(RuntimeError):
        clock.pass_(engine, 0.2)
    clock.pass_(engine, 0.2)
    assert engine.value == 2


def test_a7_two_membership_changes_overlap(clock: Clock) -> None:
    engine = Counter(dynamicMembershipChange=True, leaderFallbackTimeout=100.0)
    clock.pass_(engine, 2.0)
    committed = engine.raftCommitIndex
    engine.addNodeToCluster(Node("n2"))
    engine.addNodeToCluster(Node("n3"))
    clock.pass_(engine, 0.2)
    assert engine.raftCommitIndex == committed  # nobody has answered: the first is not committed
    assert {node.id for node in engine.otherNodes} == {"n2", "n3"}  # and the second is in force


def test_b4_an_answer_to_an_earlier_run_is_taken_for_this_ones(clock: Clock) -> None:
    """Request ids of forwarded commands begin anew with every run."""
    follower = Counter(("n2", "n3"))
    lead = {"type": "append_entries", "term": 1, "commit_index": 1, "entries": []}
    follower.hear("n2", {**lead, "prevLogIdx": 1, "prevLogTerm": 0})
    told: list[object] = []
    follower.add(1, callback=lambda result, error: told.append((result, error)))
    clock.pass_(follower, 0.1)
    assert follower.wire.sent[-1][1]["request_id"] == 1
    # This answers request 1 of the run before the restart, whose entry became entry 2.
    late = {"type": "apply_command_response", "request_id": 1, "log_idx": 2, "log_term": 1}
    follower.hear("n2", late)
    other = b"\x00" + pickle.dumps((follower._methodToID["add_v0"], (70,)))
    entries = {**lead, "commit_index": 2, "entries": [(other, 2, 1)]}
    follower.hear("n2", {**entries, "prevLogIdx": 1, "prevLogTerm": 0})
    clock.pass_(follower, 0.1)
    assert told == [(70, 0)]  # success, with the result of somebody else's command


def test_b4_no_forwarded_command_is_ever_taken() -> None:
    for kind in ("apply_command", "apply_command_response"):
        with pytest.raises(InvalidMessageError):
            check_message({"type": kind, "term": 1, "boot": 1, "number": 1, "request_id": 1})


class _Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


def test_b5_a_stranger_runs_code_before_it_has_said_who_it_is(tmp_path: Path) -> None:
    port, other = free_ports(2)
    conf = SyncObjConf(autoTick=False)
    engine = SyncObj(f"127.0.0.1:{port}", [f"127.0.0.1:{other}"], conf)
    made = tmp_path / "made"
    data = zlib.compress(pickle.dumps(_Touch(made)))
    try:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as stranger:
            stranger.sendall(struct.pack("i", len(data)) + data)
            for _ in range(100):
                engine.doTick(0.01)
                if made.exists():
                    break
        assert made.exists()
    finally:
        engine.destroy()


def test_c1_a_leader_that_nobody_answers_goes_on_for_half_a_minute(clock: Clock) -> None:
    engine = Counter(("n2", "n3"))
    engine._SyncObj__onNodeConnected(Node("n2"))
    clock.pass_(engine, 2.0)
    engine.hear("n2", {"type": "response_vote", "term": engine.raftCurrentTerm})
    assert engine._isLeader()
    clock.pass_(engine, 29.0)
    assert engine._isLeader()
    clock.pass_(engine, 2.0)
    assert not engine._isLeader()


def test_c1_a_leader_of_an_old_term_is_not_told(clock: Clock) -> None:
    follower = Counter(("n2", "n3"))
    follower.hear(
        "n2", {"type": "request_vote", "term": 5, "last_log_index": 1, "last_log_term": 0}
    )
    follower.wire.sent.clear()
    old = {"type": "append_entries", "term": 3, "commit_index": 1, "entries": []}
    follower.hear("n3", {**old, "prevLogIdx": 1, "prevLogTerm": 0})
    assert follower.wire.sent == []


def test_c3_a_proposal_on_a_leader_that_is_cut_off_never_gets_an_answer(clock: Clock) -> None:
    engine = Counter(("n2", "n3"))
    engine._SyncObj__onNodeConnected(Node("n2"))
    clock.pass_(engine, 2.0)
    engine.hear("n2", {"type": "response_vote", "term": engine.raftCurrentTerm})
    told: list[object] = []
    engine.add(1, callback=lambda result, error: told.append((result, error)))
    clock.pass_(engine, 60.0)
    assert not engine._isLeader()
    assert told == []


def test_c4_a_dump_forks_the_serving_process_by_default() -> None:
    assert SyncObjConf().useFork is True


def test_c5_a_new_method_renumbers_the_commands_of_old_logs() -> None:
    class Newer(Counter):
        @replicated  # type: ignore[untyped-decorator]
        def abandon(self) -> None:
            """Sorts before `add`."""

    assert Counter()._methodToID["add_v0"] != Newer()._methodToID["add_v0"]
