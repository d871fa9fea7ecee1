"""How often the messages of a worker are encoded and decoded on their way through a node."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from google.protobuf.message import Message

from coord.codec import commands
from coord.codec.envelope import decode_envelope
from coord.codec.kinds import CommandKind
from coord.pb import task_pb2 as tasks
from coord.replication.port import Member
from tests.support.rpc import FollowerReplicator, LocalNode, local_node
from tests.support.waiting import eventually
from tests.support.worker import Worker, complete, submit

MESSAGES: tuple[tuple[CommandKind, type[Message], type[Message]], ...] = (
    (CommandKind.CLAIM_TASKS, tasks.ClaimRequest, tasks.ClaimResponse),
    (CommandKind.COMPLETE_TASKS, tasks.CompleteRequest, tasks.CompleteResponse),
)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What was encoded ("> name") and decoded ("< name") since the test began."""
    counts: Counter[str] = Counter()
    for kind, *pair in MESSAGES:
        for message in pair:
            _count(monkeypatch, counts, message)
        row = commands.DECODERS[kind]._replace(parse=pair[0].FromString)
        rows: Any = commands.DECODERS
        monkeypatch.setitem(rows, int(kind), row)
    return counts


def _count(patch: pytest.MonkeyPatch, counts: Counter[str], message: type[Message]) -> None:
    encode, decode, name = message.SerializeToString, message.FromString, message.DESCRIPTOR.name

    def encoding(self: Any) -> bytes:
        counts[f"> {name}"] += 1
        return encode(self)

    def decoding(raw: bytes) -> Message:
        counts[f"< {name}"] += 1
        return decode(raw)

    patch.setattr(message, "SerializeToString", encoding)
    patch.setattr(message, "FromString", staticmethod(decoding))


async def one_task(node: LocalNode) -> None:
    """A worker claims a task, and commits its result."""
    await submit(node)
    worker = Worker(node, await node.stubs.open_session())
    await worker.greet(free_slots=1, claim_sequences=[1])
    await eventually(lambda: worker.tasks)
    await worker.say(complete=complete(worker, 9, *worker.tasks))
    await eventually(lambda: 9 in worker.answers)
    assert not worker.answers[9].results.results[0].HasField("error")
    await worker.end()


async def test_each_message_is_encoded_once_at_a_node_that_leads(counted: Counter[str]) -> None:
    """The request for the log, the answer for the worker; nothing is decoded."""
    async with local_node() as node:
        await one_task(node)
    assert counted == {
        "> ClaimRequest": 1,
        "> ClaimResponse": 1,
        "> CompleteRequest": 1,
        "> CompleteResponse": 1,
    }


async def test_a_follower_adds_the_way_to_the_leader(counted: Counter[str]) -> None:
    """The leader decodes the requests. The follower decodes the claimed tasks, whose leases it
    watches, and no other answer."""
    async with local_node() as leader, local_node(node_id="n2", follower=True) as follower:
        assert isinstance(follower.replicator, FollowerReplicator)
        follower.replicator.follow(Member("n1", "", leader.address))
        await one_task(follower)
    assert counted == {
        "> ClaimRequest": 1,
        "< ClaimRequest": 1,
        "> ClaimResponse": 1,
        "< ClaimResponse": 1,
        "> CompleteRequest": 1,
        "< CompleteRequest": 1,
        "> CompleteResponse": 1,
    }


async def test_what_is_logged_is_what_the_worker_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with local_node() as node:
        logged: list[bytes] = []
        propose = node.replicator.propose

        def noting(data: bytes) -> Any:
            logged.extend(item.raw for item in decode_envelope(data).items)
            return propose(data)

        monkeypatch.setattr(node.replicator, "propose", noting)
        await submit(node)
        worker = Worker(node, await node.stubs.open_session())
        await worker.greet(free_slots=1, claim_sequences=[1])
        await eventually(lambda: worker.tasks)
        request = complete(worker, 9, *worker.tasks)
        # A field of a later version, which this one does not know.
        request.MergeFromString(b"\xaa\x06\x05later")
        await worker.say(complete=request)
        await eventually(lambda: 9 in worker.answers)
        await worker.end()
        assert request.SerializeToString() in logged
