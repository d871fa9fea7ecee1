"""Connections between nodes: handshakes, order, reconnection, one connection per direction."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import msgpack
import pytest
import structlog
import uvloop

from coord.replication.messages import InvalidMessageError
from coord.replication.peers.frames import PING, frame_header
from coord.replication.peers.handshake import Refusal, encode_welcome
from coord.replication.peers.transport import TransportLimits, split_address
from tests.support.transports import FAST, Node, RawPeer, connect, frame, linked
from tests.support.waiting import eventually


def refusal(payload: bytes) -> str:
    return str(msgpack.unpackb(payload)["refused"])


def logged(entries: list[Any], event: str) -> list[Any]:
    return [entry for entry in entries if entry["event"] == event]


async def test_messages_go_both_ways_in_order() -> None:
    async with Node("a") as a, Node("b") as b:
        await linked(a, b)
        for number in range(1000):
            assert a.transport.send("b", ["to b", number])
            assert b.transport.send("a", {"to a": number})
        await eventually(lambda: len(a.messages) == len(b.messages) == 1000)
        assert b.messages == [("a", ["to b", number]) for number in range(1000)]
        assert a.messages == [("b", {"to a": number}) for number in range(1000)]
        await eventually(lambda: a.transport.send_buffer_bytes("b") == 0)


async def test_large_binary_payloads_arrive_unchanged() -> None:
    async with Node("a") as a, Node("b") as b:
        await linked(a, b)
        blobs = [bytes([n]) * (3_000_000 + n) for n in range(3)]
        for blob in blobs:
            assert a.transport.send("b", blob)
        await eventually(lambda: len(b.messages) == 3)
        assert [message for _, message in b.messages] == blobs


async def test_send_without_connection_is_refused() -> None:
    async with Node("a") as a:
        assert not a.transport.send("b", "x")
        a.transport.set_peers({"b": "127.0.0.1:1", "a": a.address})
        assert not a.transport.send("b", "x")
        assert not a.transport.connected("b")
        assert not a.transport.connected("a")
        assert a.transport.send_buffer_bytes("b") == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cluster_id": "other"}, Refusal.NOT_HERE),
        ({"node_id": "stranger"}, Refusal.UNKNOWN_NODE),
        ({"target_id": "z"}, Refusal.NOT_HERE),
        ({"version": 99}, Refusal.WRONG_VERSION),
    ],
)
async def test_handshake_refusals(change: dict[str, Any], reason: Refusal) -> None:
    with structlog.testing.capture_logs() as entries:
        async with Node("b") as b:
            b.transport.set_peers({"a": "127.0.0.1:1"})
            raw = await RawPeer.dial(b.port)
            raw.hello(**({"node_id": "a", "target_id": "b"} | change))
            assert refusal(await raw.answer()) == reason
            assert await raw.end() == b""
            await raw.close()
    if reason is not Refusal.WRONG_VERSION:
        (line,) = logged(entries, "peer_refused")
        assert reason in line["reason"]


async def test_both_sides_say_once_why_and_the_dialler_keeps_trying() -> None:
    with structlog.testing.capture_logs() as entries:
        async with Node("a", cluster_id="mine") as a, Node("b", cluster_id="yours") as b:
            connect(a, b)
            await eventually(lambda: b.transport._accept_count >= 4, what="retries")
            assert not a.transport.connected("b")
            assert a.events == []
    for node, own, other in (("a", "mine", "yours"), ("b", "yours", "mine")):
        (line,) = [e for e in logged(entries, "peer_refused") if e["node_id"] == node]
        assert own in line["reason"]
        assert other in line["reason"]
        (line,) = [e for e in logged(entries, "peer_refused_us") if e["node_id"] == node]
        assert f"of cluster '{own}'" in line["reason"]
        assert "compare cluster_id" in line["reason"]
        assert other not in line["reason"], "the other cluster's name is not told"


async def test_a_stranger_learns_nothing() -> None:
    """Neither names nor members, nor which part of its guess was right."""
    async with Node("b", cluster_id="secret") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        answers = []
        for guess in (
            {"node_id": "a", "target_id": "b", "cluster_id": "wrong"},
            {"node_id": "a", "target_id": "wrong", "cluster_id": "secret"},
            {"node_id": "wrong", "target_id": "wrong", "cluster_id": "secret"},
            {"node_id": "a", "target_id": "wrong", "cluster_id": "wrong"},
        ):
            raw = await RawPeer.dial(b.port)
            raw.hello(**guess)
            answers.append(await raw.answer())
            await raw.close()
        assert len(set(answers)) == 1
        assert b"secret" not in answers[0]
        assert msgpack.unpackb(answers[0])["members"] is None


async def test_random_handshakes_leave_few_lines_in_the_log() -> None:
    """They wrote 227 KB of log in a second."""
    with structlog.testing.capture_logs() as entries:
        async with Node("b") as b:
            b.transport.set_peers({"a": "127.0.0.1:1"})
            for number in range(300):
                raw = await RawPeer.dial(b.port)
                raw.hello(f"stranger {number}", "b", cluster_id=f"c{number % 2}")
                await raw.answer()
                await raw.close()
            one = await RawPeer.dial(b.port)
            one.hello("a", "nobody")
            await one.answer()
            await one.close()
    lines = logged(entries, "peer_refused")
    assert 1 <= len([line for line in lines if "stranger" in line["peer_id"]]) <= 6
    assert [line["peer_id"] for line in lines if line["peer_id"] == "a"] == ["a"], (
        "a flood of strangers does not hide what is said of a member"
    )
    assert len(entries) <= 12


async def test_a_peer_that_sends_nonsense_leaves_few_lines_in_the_log() -> None:
    with structlog.testing.capture_logs() as entries:
        async with Node("b") as b:
            b.transport.set_peers({"a": "127.0.0.1:1"})

            def refuse(peer_id: str, message: Any) -> None:
                raise InvalidMessageError("nonsense")

            b.transport.on_message = refuse
            for _ in range(60):
                raw = await welcome(b.port)
                raw.writer.write(frame({"type": "nonsense"}))
                await raw.end()
                await raw.close()
    refused = logged(entries, "peer_message_refused")
    assert 1 <= len(refused) <= 6
    assert "exc_info" not in refused[0], "no traceback of what a peer sent"
    assert len(logged(entries, "peer_connection_ended")) <= 6


async def test_only_a_node_that_is_not_known_is_told_the_members() -> None:
    async with Node("a") as a, Node("b") as b, Node("c", cluster_id="another") as c:
        a.transport.set_peers({"b": b.address})
        c.transport.set_peers({"b": b.address})
        await eventually(lambda: b.transport._accept_count >= 4 and a.refusals != [])
        assert a.refusals[0] == ("b", {"of": "b"})
        assert c.refusals == []


async def test_a_known_node_is_taken_after_it_was_refused() -> None:
    async with Node("a") as a, Node("b") as b:
        a.transport.set_peers({"b": b.address})
        await eventually(lambda: b.transport._accept_count >= 2)
        b.transport.set_peers({"a": a.address})
        await eventually(lambda: a.transport.connected("b") and b.transport.connected("a"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 64,
        frame("not a map"),
        frame({"magic": "coord-peer"}),
        frame({"magic": "coord-peer", "version": 1, "cluster": 1, "node": [], "target": None}),
        frame({"magic": "coord-peer", "version": 1, "cluster": "c", "node": "a", "target": "b"}),
        frame({"magic": "x" * 5000}),
        b"\x00\x00\x00\x01\x00\x00\x00\x00\xc1",
        PING,
    ],
)
async def test_garbage_instead_of_a_handshake_is_dropped(garbage: bytes) -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        raw = await RawPeer.dial(b.port)
        raw.writer.write(garbage)
        await raw.end()
        await raw.close()
        await eventually(lambda: not b.transport._accepted)
        assert b.messages == []


async def welcome(port: int, node_id: str = "a", boot_id: int = 1) -> RawPeer:
    raw = await RawPeer.dial(port)
    raw.hello(node_id, "b", boot_id=boot_id)
    assert refusal(await raw.answer()) == "None"
    return raw


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff\x00\x00\x00\x00",
        frame([1])[:-1] + b"\x07",
        b"\x00\x00\x00\x01" + (0x1234).to_bytes(4, "big") + b"\xc1",
    ],
)
async def test_a_malformed_frame_closes_only_that_connection(garbage: bytes) -> None:
    with structlog.testing.capture_logs() as entries:
        async with Node("b") as b:
            b.transport.set_peers({"a": "127.0.0.1:1"})
            raw = await welcome(b.port)
            raw.writer.write(frame("good"))
            await eventually(lambda: b.messages)
            raw.writer.write(garbage + frame("never"))
            await raw.end()
            await raw.close()
            again = await welcome(b.port)
            again.writer.write(frame("better"))
            await eventually(lambda: len(b.messages) == 2)
            assert b.messages == [("a", "good"), ("a", "better")]
            await again.close()
    assert "malformed frame" in logged(entries, "peer_connection_ended")[0]["reason"]


async def test_bytes_that_are_no_msgpack_close_the_connection() -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        for payload in (b"\xc1", b"\x92\x01", b"\x81\x90\x01", b"\xa1\xff", b"\x91" * 2000):
            raw = await welcome(b.port)
            raw.writer.write(frame_header(payload) + payload)
            await raw.end()
            await raw.close()
        assert b.messages == []


async def test_frames_arriving_byte_by_byte() -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        raw = await welcome(b.port)
        for byte in frame(["one", b"x" * 40]) + frame("two"):
            raw.writer.write(bytes([byte]))
            await raw.writer.drain()
            await asyncio.sleep(0)
        await eventually(lambda: len(b.messages) == 2)
        assert b.messages == [("a", ["one", b"x" * 40]), ("a", "two")]
        await raw.close()


async def test_a_newer_connection_closes_the_older_and_silences_it() -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        older = await welcome(b.port)
        older.writer.write(frame("from older"))
        await eventually(lambda: b.messages)
        newer = await welcome(b.port)
        older.writer.write(frame("too late"))
        newer.writer.write(frame("from newer"))
        assert await older.end() == b""
        await eventually(lambda: len(b.messages) == 2)
        assert b.messages == [("a", "from older"), ("a", "from newer")]
        await older.close()
        await newer.close()


async def test_an_earlier_accepted_connection_cannot_replace_a_later_one() -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        slow = await RawPeer.dial(b.port)
        await eventually(lambda: b.transport._accept_count == 1)
        newer = await welcome(b.port)
        slow.hello("a", "b")
        assert refusal(await slow.answer()) == Refusal.SUPERSEDED
        newer.writer.write(frame("still here"))
        await eventually(lambda: b.messages)
        await slow.close()
        await newer.close()


async def test_a_connection_of_an_earlier_boot_cannot_replace_a_later_ones() -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        current = await welcome(b.port, boot_id=2)
        stale = await RawPeer.dial(b.port)
        stale.hello("a", "b", boot_id=1)
        assert refusal(await stale.answer()) == Refusal.SUPERSEDED
        await stale.close()
        await current.close()
        await eventually(lambda: not b.transport._accepted)
        # A node that lost its data counts its boots anew and is taken once the old one is gone.
        await (await welcome(b.port, boot_id=1)).close()


async def test_reconnects_after_the_peer_restarted() -> None:
    async with Node("a") as a:
        async with Node("b") as b:
            await linked(a, b)
            port = b.port
        await eventually(lambda: not a.transport.connected("b"))
        async with Node("b", boot_id=2, port=port) as b:
            b.transport.set_peers({"a": a.address})
            await eventually(lambda: a.transport.connected("b"))
            assert a.transport.send("b", "again")
            await eventually(lambda: b.messages == [("a", "again")])
    assert a.events == [("connected", "b"), ("disconnected", "b"), ("connected", "b")]


async def test_set_peers_moves_and_removes() -> None:
    async with Node("a") as a, Node("b") as b, Node("b") as moved:
        await linked(a, b)
        moved.transport.set_peers({"a": a.address})
        a.transport.set_peers({"b": moved.address})
        assert a.events == [("connected", "b"), ("disconnected", "b")]
        await eventually(lambda: a.transport.connected("b"))
        assert a.transport.send("b", "hello")
        await eventually(lambda: moved.messages == [("a", "hello")])
        a.transport.set_peers({})
        assert not a.transport.connected("b")
        assert a.events[-1] == ("disconnected", "b")
        await eventually(lambda: not moved.transport.connected("a"))


async def test_a_peer_that_is_not_where_it_should_be_is_noticed_on_both_sides() -> None:
    limits = replace(FAST, one_way_after_ms=100)
    with structlog.testing.capture_logs() as entries:
        async with Node("a", limits=limits) as a, Node("b", limits=limits) as b:
            a.transport.set_peers({"b": "127.0.0.1:1"})
            b.transport.set_peers({"a": a.address})
            await eventually(lambda: a.transport.one_way == ("b",))
            assert b.transport.one_way == ()
            await eventually(lambda: logged(entries, "peer_is_elsewhere"))
            await eventually(lambda: logged(entries, "peer_does_not_reach_us"))
            a.transport.set_peers({"b": b.address})
            await eventually(lambda: a.transport.one_way == ())
    (line,) = logged(entries, "peer_is_elsewhere")
    assert (line["node_id"], line["peer_id"], "127.0.0.1:1" in line["why"]) == ("a", "b", True)
    (line,) = logged(entries, "peer_does_not_reach_us")
    assert (line["node_id"], line["peer_id"]) == ("b", "a")


async def test_set_peers_refuses_a_malformed_address_and_changes_nothing() -> None:
    async with Node("a") as a, Node("b") as b:
        await linked(a, b)
        with pytest.raises(ValueError, match="host:port"):
            a.transport.set_peers({"c": "nowhere"})
        assert a.transport.connected("b")


async def test_a_full_send_buffer_says_no_and_recovers() -> None:
    limits = TransportLimits(send_buffer_bytes=1_000_000, backoff_min_ms=5)
    async with Node("a", limits=limits) as a, Node("b") as b:
        await linked(a, b)
        sent = 0
        while a.transport.send("b", [sent, b"x" * 100_000]):
            sent += 1
            assert sent < 100
        assert 900_000 <= a.transport.send_buffer_bytes("b") <= 1_000_000
        await eventually(lambda: len(b.messages) == sent)
        assert a.transport.send("b", b"y" * 3_000_000)  # one message goes into an empty buffer
        await eventually(lambda: len(b.messages) == sent + 1)
        assert [message[0] for _, message in b.messages[:sent]] == list(range(sent))


async def test_a_message_over_the_frame_limit_is_an_error_of_the_caller() -> None:
    limits = TransportLimits(max_frame_bytes=1000, backoff_min_ms=5)
    async with Node("a", limits=limits) as a, Node("b", limits=limits) as b:
        await linked(a, b)
        with pytest.raises(ValueError, match="1000 at most"):
            a.transport.send("b", b"x" * 1000)
        assert a.transport.send("b", b"x" * 900)
        await eventually(lambda: len(b.messages) == 1)


async def test_messages_of_one_turn_go_out_in_one_write() -> None:
    async with Node("a") as a, Node("b") as b:
        await linked(a, b)
        writes: list[int] = []
        outgoing = a.transport._peers["b"].outgoing
        assert outgoing is not None
        real: Callable[..., Any] = outgoing._transport.writelines  # type: ignore[union-attr]

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(real.__self__, name)  # type: ignore[attr-defined]

            def writelines(self, pieces: list[bytes]) -> None:
                writes.append(len(pieces))
                real(pieces)

        outgoing._transport = Counting()  # type: ignore[assignment]
        for number in range(50):
            a.transport.send("b", number)
        await eventually(lambda: len(b.messages) == 50)
        assert writes[0] == 100
        outgoing._transport = real.__self__  # type: ignore[attr-defined]


async def test_a_peer_that_says_nothing_is_given_up() -> None:
    limits = TransportLimits(
        ping_interval_ms=20, read_timeout_ms=100, connect_timeout_ms=100, backoff_min_ms=5
    )
    async with Node("b", limits=limits) as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        silent = await welcome(b.port)
        never = await RawPeer.dial(b.port)  # no handshake at all
        assert await silent.end() == b""
        assert await never.end() == b""
        await silent.close()
        await never.close()


async def test_a_peer_that_accepts_and_says_nothing_is_given_up_and_tried_again() -> None:
    limits = TransportLimits(
        ping_interval_ms=20, read_timeout_ms=100, connect_timeout_ms=50, backoff_min_ms=5
    )
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setblocking(False)
        async with Node("a", limits=limits) as a:
            a.transport.set_peers({"b": f"127.0.0.1:{deaf.getsockname()[1]}"})
            loop = asyncio.get_running_loop()
            for _ in range(3):
                accepted, _ = await asyncio.wait_for(loop.sock_accept(deaf), 10)
                accepted.close()
            assert not a.transport.connected("b")


async def test_a_slow_reader_with_a_backlog_is_not_given_up() -> None:
    limits = TransportLimits(ping_interval_ms=20, read_timeout_ms=150, backoff_min_ms=5)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes((await reader.readexactly(8))[:4], "big")
        await reader.readexactly(length)
        welcome_payload = encode_welcome()
        writer.write(frame_header(welcome_payload) + welcome_payload)
        with contextlib.suppress(ConnectionError):
            while await reader.read(200_000):  # noqa: ASYNC110 - slow, and never a pong
                await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=100_000)
    async with server, Node("a", limits=limits) as a:
        a.transport.set_peers({"b": f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        await eventually(lambda: a.transport.connected("b"))
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(6):
            assert a.transport.send("b", b"x" * 2_000_000)
        await eventually(lambda: not a.transport.send_buffer_bytes("b"))
        assert loop.time() - started > 0.15, "not slow enough to tell"
        assert a.events == [("connected", "b")]
        await a.transport.stop()
        await eventually(ended.is_set)


async def test_idle_connections_stay_open_by_pings() -> None:
    limits = TransportLimits(ping_interval_ms=50, read_timeout_ms=500, backoff_min_ms=5)
    async with Node("a", limits=limits) as a, Node("b", limits=limits) as b:
        await linked(a, b)
        heard = a.transport._peers["b"].outgoing
        assert heard is not None
        opened = heard.opened_at
        await eventually(lambda: heard.heard_at - opened > 1.2, what="pongs")
        assert a.events == [("connected", "b")]
        assert b.events == [("connected", "a")]


async def test_an_exception_in_a_callback_drops_the_connection_and_nothing_else() -> None:
    async with Node("a") as a, Node("b") as b:

        def fail_once(peer_id: str, message: Any) -> None:
            b.transport.on_message = lambda peer, message: b.messages.append((peer, message))
            raise RuntimeError("not today")

        b.transport.on_message = fail_once
        await linked(a, b)
        with structlog.testing.capture_logs() as entries:
            a.transport.send("b", "first")
            await eventually(lambda: ("disconnected", "b") in a.events)
            await eventually(lambda: a.transport.connected("b"))
            a.transport.send("b", "second")
            await eventually(lambda: b.messages == [("a", "second")])
        assert logged(entries, "peer_callback_failed")


async def test_too_many_connections_without_a_handshake() -> None:
    async with Node("b") as b:
        b.transport.set_peers({"a": "127.0.0.1:1"})
        raws = [await RawPeer.dial(b.port) for _ in range(70)]
        await eventually(lambda: b.transport._accept_count == 70)
        await eventually(lambda: len(b.transport._accepted) <= 64)
        assert await raws[0].end() == b""
        last = await welcome(b.port)
        for raw in [*raws, last]:
            await raw.close()


async def test_stop_is_quiet_idempotent_and_frees_the_port() -> None:
    a, b = Node("a"), Node("b")
    async with a, b:
        await linked(a, b)
        await a.transport.stop()
        events = list(a.events)
        await a.transport.stop()
        await eventually(lambda: not b.transport.connected("a"))
        assert a.events == events
        assert not a.transport.send("b", "x")
        with socket.create_server(("127.0.0.1", a.port)):
            pass


async def test_an_address_in_use_is_an_error_of_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        node = Node("a", port=taken.getsockname()[1])
        with pytest.raises(OSError, match=r"address.*in use"):
            await node.transport.start()
        await node.transport.stop()


async def test_nagle_is_off_at_both_ends() -> None:
    async with Node("a", limits=FAST) as a, Node("b") as b:
        await linked(a, b)
        ends = [a.transport._peers["b"].outgoing, b.transport._peers["a"].incoming]
        for end in ends:
            assert end is not None
            assert end._transport is not None
            sock = end._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize(
    "scenario",
    [
        test_messages_go_both_ways_in_order,
        test_large_binary_payloads_arrive_unchanged,
        test_a_newer_connection_closes_the_older_and_silences_it,
        test_reconnects_after_the_peer_restarted,
        test_set_peers_moves_and_removes,
        test_a_full_send_buffer_says_no_and_recovers,
        test_stop_is_quiet_idempotent_and_frees_the_port,
        test_nagle_is_off_at_both_ends,
    ],
)
def test_the_same_on_uvloop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


@pytest.mark.parametrize(
    ("address", "parts"),
    [("h:1", ("h", 1)), ("[::1]:7500", ("::1", 7500)), ("10.0.0.1:65535", ("10.0.0.1", 65535))],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "h", "h:", ":1", "h:x", "h:70000", "h:-1"])
def test_malformed_addresses(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(address)
