"""A cluster of fake nodes that misbehave on demand: enough of the services for the client's tests.
Calls come to them on streams, as to real ones, or each by itself (`FakeNode.streams`).

The nodes share one store that deduplicates by session and sequence as the real one does, and keeps
what was carried out. A behaviour queued for a method replaces the answer to its next call.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from coord.client.transport import methods
from coord.client.transport.channel import ClientMethod
from coord.pb import cluster_pb2, etcd_kv_pb2, lock_pb2, task_pb2
from coord.rpc.call import CallContext
from coord.rpc.status import code_in
from coord.rpc.streams import calls as call_stream
from coord.rpc.streams.answer_room import AnswerRoom
from coord.rpc.streams.protocol import StreamHost
from coord.runtime.errors import CallError

METHODS: dict[str, ClientMethod[Any, Any]] = {
    method.path: method for method in vars(methods).values() if isinstance(method, ClientMethod)
}
Behaviour = Callable[["FakeNode", Any, Any], Awaitable[Any]]


class RefusedError(Exception):
    """Ends a call the way a node does."""

    def __init__(self, code: grpc.StatusCode, reason: str, **metadata: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.metadata = metadata


class TornError(Exception):
    """Ends a call on a stream without a word of the node's own."""


class StreamContext:
    """What behaviours use of gRPC's context, for a call on a stream."""

    def __init__(self, context: CallContext) -> None:
        self._metadata = context.metadata

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return tuple(self._metadata.items())

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise TornError(code, message)


class FakeStore:
    """The state all nodes share. `applied`: what was carried out, in order."""

    def __init__(self) -> None:
        self.revision = 0
        self.sessions: dict[int, bytes] = {}
        self.replies: dict[tuple[int, int], Any] = {}
        self.applied: list[tuple[str, Any]] = []
        self.ready: deque[tuple[str, bytes]] = deque()
        self.claimed: dict[str, tuple[int, bytes]] = {}
        self.released: list[str] = []
        self.completed: dict[str, bytes] = {}
        self.locks: dict[str, tuple[int, str, int]] = {}
        self.kv: dict[bytes, bytes] = {}
        self.acked_below = 0

    def next_revision(self) -> int:
        self.revision += 1
        return self.revision

    def count(self, method: ClientMethod[Any, Any]) -> int:
        return sum(1 for path, _ in self.applied if path == method.path)

    def apply(self, path: str, request: Any, session_id: int, sequence: int) -> Any:
        """Carry out once, answer repeats with the first reply."""
        if session_id and session_id not in self.sessions:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
        kept = self.replies.get((session_id, sequence)) if sequence else None
        if kept is not None:
            return kept
        reply = _APPLY[path](self, request, session_id)
        empty_claim = path == methods.CLAIM.path and not reply.tasks
        if sequence and not empty_claim:
            self.replies[session_id, sequence] = reply
        self.applied.append((path, request))
        return reply


def _open(store: FakeStore, request: Any, _: int) -> Any:
    for session_id, nonce in store.sessions.items():
        if nonce == request.nonce:
            return methods.OPEN_SESSION.response(session_id=session_id, ttl_ms=request.ttl_ms)
    session_id = store.next_revision()
    store.sessions[session_id] = request.nonce
    return methods.OPEN_SESSION.response(session_id=session_id, ttl_ms=request.ttl_ms)


def _keep_alive(store: FakeStore, request: Any, _: int) -> Any:
    if request.session_id not in store.sessions:
        raise RefusedError(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    return methods.KEEP_ALIVE.response(ttl_ms=1_000)


def _close(store: FakeStore, request: Any, _: int) -> Any:
    store.sessions.pop(request.session_id, None)
    return methods.CLOSE_SESSION.response()


def _submit(store: FakeStore, request: Any, _: int) -> Any:
    if any(spec.queue == "bad" for spec in request.tasks):
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    reply = task_pb2.SubmitResponse()
    for spec in request.tasks:
        revision = store.next_revision()
        store.ready.append((f"t{revision}", spec.payload))
        reply.tasks.add(task_id=f"t{revision}", revision=revision)
    return reply


def _claim(store: FakeStore, request: Any, session_id: int) -> Any:
    reply = task_pb2.ClaimResponse()
    while store.ready and len(reply.tasks) < request.max_tasks:
        task_id, payload = store.ready.popleft()
        token = store.next_revision()
        store.claimed[task_id] = (token, payload)
        reply.tasks.add(task_id=task_id, payload=payload, fencing_token=token, attempt=1)
    return reply


def _items(store: FakeStore, request: Any, _: int, finish: bool) -> list[Any]:
    results = []
    for item in request.items:
        held = store.claimed.get(item.task_id)
        if held is None or held[0] != item.fencing_token:
            error = {"reason": "STALE_FENCING_TOKEN", "metadata": {"current": "0"}}
            results.append(task_pb2.ItemResult(error=error))
            continue
        if finish:
            del store.claimed[item.task_id]
        results.append(task_pb2.ItemResult(state=4 if finish else 3, revision=store.revision))
    return results


def _complete(store: FakeStore, request: Any, session_id: int) -> Any:
    results = _items(store, request, session_id, True)
    for item, result in zip(request.items, results, strict=True):
        if not result.HasField("error"):
            store.completed[item.task_id] = item.result
    return task_pb2.CompleteResponse(results=results)


def _release(store: FakeStore, request: Any, session_id: int) -> Any:
    for item in request.items:
        if item.task_id in store.claimed:
            store.released.append(item.task_id)
            store.ready.append((item.task_id, store.claimed[item.task_id][1]))
    return task_pb2.ReleaseResponse(results=_items(store, request, session_id, True))


def _heartbeat(store: FakeStore, request: Any, session_id: int) -> Any:
    return task_pb2.HeartbeatResponse(results=_items(store, request, session_id, False))


def _acquire(store: FakeStore, request: Any, session_id: int) -> Any:
    owner = store.locks.get(request.name)
    if owner is None:
        owner = (session_id, request.holder, store.next_revision())
        store.locks[request.name] = owner
    if owner[:2] == (session_id, request.holder):
        return lock_pb2.AcquireLockResponse(acquired=True, fencing_token=owner[2])
    return lock_pb2.AcquireLockResponse(acquired=False)


def _release_lock(store: FakeStore, request: Any, _: int) -> Any:
    owner = store.locks.get(request.name)
    if owner is None or owner[2] != request.fencing_token:
        raise RefusedError(grpc.StatusCode.FAILED_PRECONDITION, "STALE_FENCING_TOKEN", current="0")
    del store.locks[request.name]
    return lock_pb2.ReleaseLockResponse()


def _refresh(store: FakeStore, request: Any, _: int) -> Any:
    owner = store.locks.get(request.name)
    if owner is None or owner[2] != request.fencing_token:
        raise RefusedError(grpc.StatusCode.FAILED_PRECONDITION, "LOCK_NOT_HELD")
    return lock_pb2.RefreshLockResponse(ttl_ms=0)


def _put(store: FakeStore, request: Any, _: int) -> Any:
    store.kv[request.key] = request.value
    return methods.PUT.response(header={"revision": store.next_revision()})


def _range(store: FakeStore, request: Any, _: int) -> Any:
    value = store.kv.get(request.key)
    kvs = [] if value is None else [etcd_kv_pb2.KeyValue(key=request.key, value=value)]
    return methods.RANGE.response(kvs=kvs, count=len(kvs))


_APPLY: dict[str, Callable[[FakeStore, Any, int], Any]] = {
    methods.OPEN_SESSION.path: _open,
    methods.KEEP_ALIVE.path: _keep_alive,
    methods.CLOSE_SESSION.path: _close,
    methods.SUBMIT.path: _submit,
    methods.CLAIM.path: _claim,
    methods.COMPLETE.path: _complete,
    methods.RELEASE.path: _release,
    methods.HEARTBEAT.path: _heartbeat,
    methods.ACQUIRE.path: _acquire,
    methods.RELEASE_LOCK.path: _release_lock,
    methods.REFRESH.path: _refresh,
    methods.PUT.path: _put,
    methods.RANGE.path: _range,
}


class FakeNode(grpc.GenericRpcHandler):
    """One node. `calls`: every request it got, by path; `alone`: how many of them not on a stream;
    `leads`: what its NodeStatus says; `streams`: whether it knows streams of calls."""

    def __init__(self, node_id: str, store: FakeStore, cluster: list[FakeNode]) -> None:
        self.node_id = node_id
        self.store = store
        self.cluster = cluster
        self.leads = False
        self.mute = False  # takes calls and never answers, as a paused process does
        self.address = ""
        self.streams = True
        self.alone: Counter[str] = Counter()
        self.call_streams = call_stream.CallStreams(self._answer_on_stream)
        self.call_host = StreamHost(self.call_streams, AnswerRoom())
        self.calls: dict[str, list[Any]] = defaultdict(list)
        self._behaviours: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._server: grpc.aio.Server | None = None

    def next_calls(self, method: ClientMethod[Any, Any], *behaviours: Behaviour) -> None:
        """What the next calls of this method meet, in order."""
        self._behaviours[method.path].extend(behaviours)

    def count(self, method: ClientMethod[Any, Any]) -> int:
        return len(self.calls[method.path])

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        port = self._server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        """Cut every connection."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def service(self, details: Any) -> Any:
        if details.method == call_stream.PATH:
            return self.call_host.rpc_handler() if self.streams else None
        method = METHODS.get(details.method)
        if method is None:
            return None

        async def handle(request: Any, context: Any) -> Any:
            self.calls[details.method].append(request)
            self.alone[details.method] += 1
            try:
                return await self._answer(details.method, request, context)
            except RefusedError as refused:
                await _abort(context, refused)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )

    def apply(self, path: str, request: Any, context: Any) -> Any:
        metadata = dict(context.invocation_metadata())
        session_id = int(metadata.get("coord-session", 0))
        sequence = int(metadata.get("coord-sequence", 0))
        header = getattr(request, "header", None)
        if header is not None:
            session_id, sequence = header.session_id, header.sequence
            self.store.acked_below = header.acked_below
        return self.store.apply(path, request, session_id, sequence)

    async def _answer_on_stream(self, path: str, raw: bytes, context: Any) -> bytes | CallError:
        method = METHODS[path]
        request = method.request.FromString(raw)
        self.calls[path].append(request)
        try:
            reply = await self._answer(path, request, StreamContext(context))
        except RefusedError as refused:
            return CallError(
                code_in(refused.code), refused.reason, refused.reason, metadata=refused.metadata
            )
        except TornError as torn:
            code, message = torn.args
            status = status_pb2.Status(code=code.value[0], message=message)
            return CallError(code_in(code), "", message, details=status.SerializeToString())
        return method.response.SerializeToString(reply)  # type: ignore[no-any-return]

    async def _answer(self, path: str, request: Any, context: Any) -> Any:
        if self.mute and not self._behaviours[path]:
            await asyncio.sleep(3_600)
        if path == methods.NODE_STATUS.path:
            return self._node_status()
        if path == methods.STATUS.path:
            return self._status()
        if self._behaviours[path]:
            return await self._behaviours[path].popleft()(self, request, context)
        if path == methods.CLAIM.path and request.wait_ms and not self.store.ready:
            await self._wait_for_task(request.wait_ms)
        return self.apply(path, request, context)

    async def _wait_for_task(self, wait_ms: int) -> None:
        for _ in range(wait_ms // 5):
            if self.store.ready:
                return
            await asyncio.sleep(0.005)

    def _member(self) -> cluster_pb2.MemberStatus:
        role = "leader" if self.leads else "follower"
        return cluster_pb2.MemberStatus(
            id=self.node_id, address=self.address, role=role, term=1, reachable=True
        )

    def _node_status(self) -> Any:
        leader = next((node.node_id for node in self.cluster if node.leads), "")
        return methods.NODE_STATUS.response(member=self._member(), leader=leader)

    def _status(self) -> Any:
        members = [node._member() for node in self.cluster]
        return methods.STATUS.response(members=members, node_id=self.node_id)


def refuse(code: grpc.StatusCode, reason: str, **metadata: str) -> Behaviour:
    """A refusal before anything was done."""

    async def behaviour(node: FakeNode, request: Any, context: Any) -> Any:
        raise RefusedError(code, reason, **metadata)

    return behaviour


async def lose_reply(node: FakeNode, request: Any, context: Any) -> Any:
    """Carry it out, then fail as a torn connection does."""
    node.apply(path_of(request), request, context)
    await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


async def never_applied(node: FakeNode, request: Any, context: Any) -> Any:
    """Fail as a torn connection does, without carrying it out."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


async def hang(node: FakeNode, request: Any, context: Any) -> Any:
    """Carry it out and never answer."""
    node.apply(path_of(request), request, context)
    await asyncio.sleep(3_600)


def path_of(request: Any) -> str:
    return next(path for path, method in METHODS.items() if method.request is type(request))


@asynccontextmanager
async def fake_cluster(size: int = 1) -> AsyncIterator[list[FakeNode]]:
    """Nodes over one store; the first one leads."""
    store = FakeStore()
    nodes: list[FakeNode] = []
    for number in itertools.count(1):
        nodes.append(FakeNode(f"n{number}", store, nodes))
        if number == size:
            break
    nodes[0].leads = True
    for node in nodes:
        await node.start()
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.stop()


async def _abort(context: Any, refused: RefusedError) -> None:
    metadata = {"definite": "true", **refused.metadata}
    info = error_details_pb2.ErrorInfo(reason=refused.reason, domain="coord", metadata=metadata)
    detail = any_pb2.Any()
    detail.Pack(info)
    status = status_pb2.Status(code=refused.code.value[0], message=refused.reason, details=[detail])
    await context.abort(
        refused.code,
        refused.reason,
        trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),),
    )
