"""Retries: nothing is done twice, nothing hangs, and errors say what is known."""

from __future__ import annotations

import asyncio
import contextlib
import time

import grpc
import pytest

from coord.client import (
    BusyError,
    Client,
    ClientClosedError,
    DeadlineError,
    InvalidArgumentError,
    NoLeaderError,
    OutcomeUnknownError,
    ResourceExhaustedError,
    UnavailableError,
)
from coord.client.transport import retry as retry_module
from coord.client.transport.methods import PUT, RANGE, SUBMIT
from tests.support.client import FakeNode, fake_cluster, hang, lose_reply, never_applied, refuse
from tests.support.waiting import eventually

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def client_of(nodes: list[FakeNode], **settings: object) -> Client:
    addresses = ",".join(node.address for node in nodes)
    return Client(addresses, **{"timeout_ms": 5_000, **settings})  # type: ignore[arg-type]


async def test_a_lost_reply_is_asked_for_again_and_not_done_twice() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        node.next_calls(SUBMIT, lose_reply, lose_reply)
        task = await client.tasks.submit("q", b"x")
        assert node.count(SUBMIT) == 3
        assert node.store.count(SUBMIT) == 1
        assert {call.header.sequence for call in node.calls[SUBMIT.path]} == {1}
        assert task.task_id == "t2"


async def test_kv_writes_are_deduplicated_by_metadata() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        node.next_calls(PUT, lose_reply)
        revision = await client.kv.put("k", "v")
        assert node.count(PUT) == 2
        assert node.store.count(PUT) == 1
        assert revision == 2


async def test_without_a_session_an_unknown_outcome_is_not_repeated() -> None:
    async with fake_cluster() as (node,), client_of([node], use_session=False) as client:
        node.next_calls(PUT, lose_reply)
        with pytest.raises(OutcomeUnknownError):
            await client.kv.put("k", "v")
        assert node.count(PUT) == 1
        node.next_calls(PUT, refuse(UNAVAILABLE, "NO_LEADER"))
        await client.kv.put("k", "v")
        assert node.store.count(PUT) == 2


async def test_the_leader_is_found_and_called() -> None:
    async with fake_cluster(3) as nodes:
        nodes[0].leads, nodes[2].leads = False, True
        async with client_of(nodes[:1]) as client:
            await client.kv.put("k", "v")
            assert nodes[2].count(PUT) == 1
            assert set(client.endpoints) == {node.address for node in nodes}


async def test_not_leader_names_the_node_to_go_to() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes[:1]) as client:
        await client.kv.put("k", "v")
        nodes[0].leads, nodes[1].leads = False, True
        moved = refuse(UNAVAILABLE, "NOT_LEADER", leader="n2", leader_address=nodes[1].address)
        nodes[0].next_calls(PUT, moved)
        await client.kv.put("k", "w")
        assert nodes[1].count(PUT) == 1


async def test_a_leader_elected_later_is_found_without_failing_calls() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        await client.kv.put("k", "v")
        nodes[0].leads = False
        moved = refuse(UNAVAILABLE, "NO_LEADER")
        nodes[0].next_calls(PUT, moved)
        await client.kv.put("k", "v")  # any node will do
        nodes[1].leads = True
        await eventually(lambda: client._discovery.leader_address == nodes[1].address)
        before = nodes[1].count(PUT)
        await client.kv.put("k", "v")
        assert nodes[1].count(PUT) == before + 1


async def test_a_reply_of_another_node_makes_the_client_look_around() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        await client.tasks.submit("q")

        async def forwarded(node: FakeNode, request: object, context: object) -> object:
            nodes[0].leads, nodes[1].leads = False, True
            reply = node.apply(SUBMIT.path, request, context)
            reply.header.node_id = "n2"
            return reply

        nodes[0].next_calls(SUBMIT, forwarded)
        await client.tasks.submit("q")
        await eventually(lambda: client._discovery.leader_address == nodes[1].address)


async def test_a_cut_connection_fails_over_at_once() -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        await client.kv.put("k", "v")
        nodes[0].next_calls(PUT, hang)
        write = asyncio.ensure_future(client.kv.put("k", "w"))
        await eventually(lambda: nodes[0].count(PUT) == 2)
        nodes[0].leads, nodes[1].leads = False, True
        started = time.monotonic()
        await nodes[0].stop()
        await write
        assert time.monotonic() - started < 1.0
        assert nodes[0].store.count(PUT) == 2
        started = time.monotonic()
        await client.kv.put("k", "x")
        assert time.monotonic() - started < 1.0


async def test_a_node_that_came_back_is_found_again() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        await node.stop()
        connection = client._core.caller.discovery.pick()
        await eventually(lambda: not connection._stream.usable, what="the loss is noticed")
        with pytest.raises(UnavailableError) as caught:
            await client.kv.get("k", timeout_ms=300)
        assert caught.value.definite
        await node.start()
        started = time.monotonic()
        assert await client.kv.get("k") is not None
        assert time.monotonic() - started < 2.0


async def test_a_silent_node_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_cluster(2) as nodes, client_of(nodes) as client:
        client._core.caller._attempt_timeout_s = 0.2
        await client.kv.put("k", "v")
        nodes[0].next_calls(PUT, hang)
        await client.kv.put("k", "w")
        assert nodes[0].store.count(PUT) == 2
        assert nodes[1].count(PUT) == 1


async def test_the_time_out_holds_and_its_error_is_indefinite() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        node.next_calls(PUT, *[hang] * 10)
        started = time.monotonic()
        with pytest.raises(DeadlineError) as caught:
            await client.kv.put("k", "w", timeout_ms=300)
        assert 0.25 < time.monotonic() - started < 1.0
        assert not caught.value.definite


async def test_refusals_until_the_time_out_are_definite() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        node.next_calls(PUT, *[refuse(UNAVAILABLE, "NO_LEADER")] * 100)
        with pytest.raises(NoLeaderError) as caught:
            await client.kv.put("k", "w", timeout_ms=300)
        assert caught.value.definite
        assert caught.value.retryable
        assert 2 < node.count(PUT) < 30


def test_no_leader_is_told_although_the_last_attempt_met_a_node_that_is_down() -> None:
    attempts = retry_module._Attempts(retry_module.Deadline(1), repeatable=True, reads=False)
    attempts.failed(NoLeaderError("there is no leader", "NO_LEADER", None, True))
    attempts.failed(UnavailableError("nobody listens there", "UNREACHABLE", None, True))
    with pytest.raises(NoLeaderError, match="there is no leader"):
        attempts.check_time()


async def test_a_refusal_after_an_unknown_outcome_does_not_make_it_definite() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        node.next_calls(PUT, lose_reply, *[refuse(UNAVAILABLE, "NO_LEADER")] * 100)
        with pytest.raises(DeadlineError):
            await client.kv.put("k", "w", timeout_ms=300)


async def test_a_refusal_after_a_lost_reply_makes_the_end_of_a_read_definite() -> None:
    """There is no outcome to be unsure of; what the caller has to know is why nobody answers."""
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        node.next_calls(RANGE, lose_reply, *[refuse(UNAVAILABLE, "NO_LEADER")] * 100)
        with pytest.raises(NoLeaderError) as caught:
            await client.kv.get("k", timeout_ms=300)
        assert caught.value.definite


async def test_a_read_that_nobody_answers_says_so() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        node.next_calls(RANGE, hang)
        with pytest.raises(DeadlineError) as caught:
            await client.kv.get("k", timeout_ms=300)
        assert caught.value.definite, "a read has no outcome beside its answer"
        node.next_calls(PUT, hang)
        with pytest.raises(DeadlineError) as caught:
            await client.kv.put("k", "v", timeout_ms=300)
        assert not caught.value.definite


async def test_busy_waits_as_long_as_it_is_told() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        busy = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY", retry_after_ms="150")
        node.next_calls(PUT, busy)
        started = time.monotonic()
        await client.kv.put("k", "w")
        assert time.monotonic() - started >= 0.15
        node.next_calls(
            PUT, refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY", retry_after_ms="9000")
        )
        with pytest.raises(BusyError) as caught:
            await client.kv.put("k", "w", timeout_ms=500)
        assert caught.value.retry_after_ms == 9_000


async def test_a_full_disk_is_told_at_once() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        node.next_calls(PUT, refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL"))
        with pytest.raises(ResourceExhaustedError) as caught:
            await client.kv.put("k", "w")
        assert (caught.value.reason, caught.value.retryable) == ("DISK_FULL", True)


async def test_an_attempt_that_was_never_applied_is_made_up_for() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        node.next_calls(PUT, never_applied)
        await client.kv.put("k", "v")
        assert node.store.count(PUT) == 1


async def test_nobody_there() -> None:
    async with Client("127.0.0.1:1", timeout_ms=200) as client:
        with pytest.raises(UnavailableError):
            await client.kv.put("k", "v")


async def test_a_closed_client_says_so() -> None:
    client = Client("127.0.0.1:1")
    await client.close()
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.kv.get("k")


async def test_use_after_a_fork_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        monkeypatch.setattr("coord.client.transport.forks._lineage.forks", 1)
        with pytest.raises(ClientClosedError, match="fork"):
            await client.kv.get("k")
        monkeypatch.undo()


async def test_a_wedged_channel_is_made_anew() -> None:
    async with fake_cluster(1) as (node,), client_of([node]) as client:
        await client.kv.put("k", "v")
        connection = client._discovery.connection(node.address)
        channel = connection._channel
        for _ in range(5):
            connection.failed()
        await client.kv.put("k", "w")
        assert connection._channel is not channel


def test_endpoints_must_be_given() -> None:
    with pytest.raises(ValueError, match="endpoint"):
        Client("")


def test_a_deadline_is_positive() -> None:
    with pytest.raises(ValueError, match="timeout_ms"):
        retry_module.Deadline(0)


async def test_an_invalid_argument_is_not_repeated() -> None:
    async with fake_cluster() as (node,), client_of([node]) as client:
        with pytest.raises(InvalidArgumentError):
            await client.tasks.submit("bad")
        assert node.count(SUBMIT) == 1


async def test_an_endpoint_that_accepts_and_stays_silent_does_not_hold_calls_up() -> None:
    open_ends: set[asyncio.Task[None] | None] = set()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ends.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        open_ends.discard(asyncio.current_task())

    mute = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    async with (
        fake_cluster() as (node,),
        Client(f"127.0.0.1:{port},{node.address}", timeout_ms=5_000) as client,
    ):
        started = time.monotonic()
        await client.kv.put("k", "v")
        assert time.monotonic() - started < 1.0
        await node.stop()
        with pytest.raises((UnavailableError, DeadlineError)):
            await client.kv.get("k", timeout_ms=700)
        await node.start()
        started = time.monotonic()
        await client.kv.get("k")
        assert time.monotonic() - started < 4.0
    mute.close()
    await mute.wait_closed()
    await eventually(lambda: not open_ends)
