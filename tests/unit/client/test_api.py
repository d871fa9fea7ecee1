"""The public face: exports, the same names in both facades, errors, messages."""

from __future__ import annotations

import asyncio
import inspect
import threading

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

import coord.client
from coord.client import Compare, Delete, Get, Put, Txn, kv, prefix_end
from coord.client import client as async_client
from coord.client.sync import client as sync
from coord.client.transport import errors
from coord.client.transport.errors import from_reason, from_rpc_error
from coord.client.transport.wording import not_connected, own_words
from coord.client.types import TaskState
from coord.pb import etcd_rpc_pb2, task_pb2
from tests.support.client import fake_cluster

# A stream of tasks has no blocking form: blocking code claims, or runs an `agentnode`.
ASYNCHRONOUS_ONLY = {"work"}
PARTS = [name for name in vars(coord.client.Client("127.0.0.1:1")) if not name.startswith("_")]


def test_all_is_complete_and_sorted() -> None:
    public = {
        name
        for name, value in vars(coord.client).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert set(coord.client.__all__) == public
    assert len(set(coord.client.__all__)) == len(coord.client.__all__)
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.CoordError):
            assert name in coord.client.__all__


def public_methods(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
    }


def shape(signature: inspect.Signature) -> list[tuple[str, object, object, object]]:
    return [(p.name, p.kind, p.default, p.annotation) for p in signature.parameters.values()]


async def test_both_facades_have_the_same_methods_and_signatures() -> None:
    async with coord.client.Client("127.0.0.1:1") as asynchronous:
        with sync.Client("127.0.0.1:1") as blocking:
            pairs = [(type(getattr(asynchronous, p)), type(getattr(blocking, p))) for p in PARTS]
    for ours, theirs in [*pairs, (async_client.Client, sync.Client)]:
        expected, found = public_methods(ours), public_methods(theirs)
        assert set(expected) - ASYNCHRONOUS_ONLY == set(found)
        for name, signature in expected.items():
            if name in ASYNCHRONOUS_ONLY:
                continue
            if name == "__init__" and ours is not async_client.Client:
                continue
            assert shape(signature) == shape(found[name]), f"{ours.__name__}.{name}"
            if name != "lock":
                own, other = signature.return_annotation, found[name].return_annotation
                assert own.replace("builtins.", "") == other.replace("builtins.", "")


def test_both_clients_have_the_same_properties() -> None:
    def properties(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind, lambda m: isinstance(m, property))}

    assert properties(async_client.Client) == properties(sync.Client)


async def test_the_blocking_client_works_from_threads_and_a_running_loop() -> None:
    async with fake_cluster() as (node,):

        def work() -> None:
            with sync.Client(node.address, timeout_ms=5_000) as client:
                client.tasks.submit("q", b"x")
                (task,) = client.tasks.claim(["q"])
                assert client.tasks.complete(task, b"r").ok
                with client.locks.lock("l") as grant:
                    assert not grant.lost.is_set()
                    assert not grant.lost.wait(0.01)
                    assert client.locks.acquire("l") is None
                assert grant.lost.wait(1)
                assert client.kv.get("none") is None
                client.close()
            with pytest.raises(errors.ClientClosedError):
                client.kv.get("k")

        await asyncio.to_thread(work)
        assert node.store.locks == {}
        assert node.store.sessions == {}
    assert "coord-client" not in {thread.name for thread in threading.enumerate()}


async def test_a_blocking_call_in_a_callback_is_refused_instead_of_hanging() -> None:
    async with fake_cluster() as (node,):
        caught: list[BaseException] = []

        def work() -> None:
            with sync.Client(node.address, session_ttl_ms=150, timeout_ms=5_000) as client:
                told = threading.Event()

                def callback(session_id: int) -> None:
                    try:
                        client.kv.get("k")
                    except RuntimeError as error:
                        caught.append(error)
                    told.set()

                client.on_session_lost(callback)
                client.open_session()
                node.store.sessions.clear()
                assert told.wait(5)

        await asyncio.to_thread(work)
        assert "blocking" in str(caught[0])


# ---- errors


def rpc_error(
    code: grpc.StatusCode, details: str, reason: str = "", **metadata: str
) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata()
    if reason:
        info = error_details_pb2.ErrorInfo(reason=reason, domain="coord", metadata=metadata)
        detail = any_pb2.Any()
        detail.Pack(info)
        status = status_pb2.Status(code=code.value[0], message=details, details=[detail])
        trailing.add("grpc-status-details-bin", status.SerializeToString())
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)


@pytest.mark.parametrize(
    ("code", "details", "reason", "kind", "definite", "retryable"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", "", "UnavailableError", True, True),
        ("UNAVAILABLE", "Socket closed", "", "OutcomeUnknownError", False, True),
        ("UNAVAILABLE", "x", "OUTCOME_UNKNOWN", "OutcomeUnknownError", False, True),
        ("UNAVAILABLE", "x", "NO_LEADER", "NoLeaderError", True, True),
        ("UNAVAILABLE", "x", "SHUTTING_DOWN", "UnavailableError", True, True),
        ("DEADLINE_EXCEEDED", "x", "", "DeadlineError", False, True),
        ("DEADLINE_EXCEEDED", "x", "DEADLINE", "UnavailableError", True, True),
        ("RESOURCE_EXHAUSTED", "x", "BUSY", "BusyError", True, True),
        ("RESOURCE_EXHAUSTED", "x", "DISK_FULL", "ResourceExhaustedError", True, True),
        ("RESOURCE_EXHAUSTED", "x", "LIMIT_EXCEEDED", "ResourceExhaustedError", True, False),
        ("NOT_FOUND", "x", "SESSION_NOT_FOUND", "SessionExpiredError", True, False),
        ("NOT_FOUND", "x", "TASK_NOT_FOUND", "NotFoundError", True, False),
        ("FAILED_PRECONDITION", "x", "STALE_FENCING_TOKEN", "StaleFencingTokenError", True, False),
        ("FAILED_PRECONDITION", "x", "TASK_FINISHED", "FailedPreconditionError", True, False),
        ("FAILED_PRECONDITION", "x", "SEQUENCE_FORGOTTEN", "OutcomeUnknownError", False, False),
        ("OUT_OF_RANGE", "etcdserver: compacted", "", "RevisionError", True, False),
        ("INTERNAL", "x", "INTERNAL", "InternalError", False, False),
        ("UNKNOWN", "x", "", "InternalError", False, False),
        ("UNIMPLEMENTED", "x", "", "UnimplementedError", True, False),
    ],
)
def test_what_the_wire_says_becomes_a_typed_error(
    code: str, details: str, reason: str, kind: str, definite: bool, retryable: bool
) -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode[code], details, reason))
    assert type(error).__name__ == kind
    assert (error.definite, error.retryable) == (definite, retryable)
    assert error.reason == (reason or error.reason)
    assert error.message == own_words(details) or error.message == not_connected(details)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("etcdserver: key is not provided", "the key must not be empty"),
        (
            "etcdserver: request is too large: 9 bytes, 8 at most",
            "the request is too large: 9 bytes, 8 at most",
        ),
        ("etcdserver: mvcc: something new", "something new"),
        (
            "SERVER: Received message larger than max (9000000 vs. 8388608)",
            "the request has 9000000 bytes; 8388608 at most: send less at a time",
        ),
        (
            "CLIENT: Received message larger than max (9000000 vs. 8388608)",
            "the answer has 9000000 bytes; 8388608 at most: ask for less at a time",
        ),
        (
            "CLIENT: Sent message larger than max (9 vs. 8)",
            "the request has 9 bytes; 8 at most: send less at a time",
        ),
        ("Socket closed", "the connection to the node ended during the call"),
        ("queue must not be empty", "queue must not be empty"),
    ],
)
def test_what_others_say_is_told_in_own_words(theirs: str, ours: str) -> None:
    assert own_words(theirs) == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
            "Failed to connect to remote host: connect: Connection refused (111)",
            "nobody listens there",
        ),
        ("DNS resolution failed for no.such.host:1: Domain name not found", "the host name cannot"),
        ("failed to connect to all addresses; last error: Timeout occurred: FD", "took too long"),
        ("failed to connect to all addresses", "no connection could be made"),
        ("errors resolving x.invalid:1: [field:hostname lookup error]", "the host name cannot"),
    ],
)
def test_why_no_connection_could_be_made_is_told_in_own_words(theirs: str, ours: str) -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, theirs, ""))
    assert ours in error.message
    assert (error.reason, error.definite) == ("UNREACHABLE", True)


def test_metadata_travels() -> None:
    code = grpc.StatusCode.FAILED_PRECONDITION
    error = from_rpc_error(rpc_error(code, "stale", "STALE_FENCING_TOKEN", current="17"))
    assert isinstance(error, errors.StaleFencingTokenError)
    assert error.current == 17
    assert error.retry_after_ms == 0


def test_an_unknown_reason_is_taken_at_its_word() -> None:
    assert from_reason("NEW", "m", {"definite": "true"}).definite
    assert not from_reason("NEW", "m", {"definite": "false"}).definite
    assert not from_reason("NEW", "m").definite


# ---- messages


def test_task_states_are_those_of_the_wire() -> None:
    wire = {name.removeprefix("TASK_STATE_"): number for name, number in task_pb2.TaskState.items()}
    del wire["UNSPECIFIED"]
    assert wire == {state.name: state.value for state in TaskState if state.value}
    assert TaskState(99) is TaskState.UNKNOWN


def test_task_specs_have_every_field_of_the_wire() -> None:
    wire = {field.name for field in task_pb2.TaskSpec.DESCRIPTOR.fields}
    assert wire == set(coord.client.TaskSpec.__dataclass_fields__)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), ("ab", b"ac"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0")],
)
def test_prefix_end(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end


def test_transactions_become_etcds() -> None:
    inner = Txn((Compare.missing("x"),), (Delete("a", "b", prev_kv=True),))
    txn = Txn(
        (
            Compare.value("k", "!=", "v"),
            Compare.version("k", "<", 3),
            Compare.mod_revision("k", ">", 4),
            Compare("lease", "k", "=", 5, "z"),
        ),
        (Put("k", "v", lease=7), inner),
        (Get("a", "b", limit=2),),
    )
    made = kv._txn_message(txn)
    pb = etcd_rpc_pb2
    assert [c.target for c in made.compare] == [
        pb.Compare.VALUE,
        pb.Compare.VERSION,
        pb.Compare.MOD,
        pb.Compare.LEASE,
    ]
    assert made.compare[0].value == b"v"
    assert (made.compare[3].lease, made.compare[3].range_end) == (5, b"z")
    assert made.success[0].request_put == pb.PutRequest(key=b"k", value=b"v", lease=7)
    assert made.success[1].request_txn.success[0].request_delete_range.prev_kv
    assert made.failure[0].request_range.limit == 2


def test_operands_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="integer"):
        kv._txn_message(Txn((Compare("mod", "k", "=", "v"),)))
    with pytest.raises(TypeError, match="bytes"):
        kv._txn_message(Txn((Compare("value", "k", "=", 1),)))
