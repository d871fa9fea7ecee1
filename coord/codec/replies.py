"""Core replies -> the bytes of the response message that belongs to the request.

The header is the first field of every response and the same for all replies of a node at one
revision, so its bytes are made once and put in front of the encoded rest: in protobuf, joining the
bytes of two messages merges them. Items are made in place (`add`): a message that is made first and
then put in a list is copied into it by way of its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import Message

from coord.codec import cluster, kv, locks, sessions, tasks, wire
from coord.codec.kinds import ETCD_KINDS, CommandKind
from coord.codec.lookup import Lookup, ReplyBuilder
from coord.core.kv.commands import KvRangeReply
from coord.pb import common_pb2
from coord.pb import etcd_rpc_pb2 as etcd_pb

K = CommandKind
_HEADER_FIELD: Final = 1
PART_KEYS: Final = 1_000


class ReplyEncoder:
    """Encodes replies of one node. `term` and the default revision change with `at`.

    `etcd_cluster_id` and `etcd_member_id` are the numeric ids of the etcd API."""

    __slots__ = ("_cluster_id", "_etcd_ids", "_header", "_node_id", "_revision", "_term")

    def __init__(
        self, cluster_id: str, node_id: str, etcd_cluster_id: int, etcd_member_id: int
    ) -> None:
        self._cluster_id = cluster_id
        self._node_id = node_id
        self._etcd_ids = (etcd_cluster_id, etcd_member_id)
        self._term = -1
        self._revision = -1
        self._header = b""

    def at(self, term: int, revision: int) -> None:
        """From now on headers carry this term and this revision."""
        if term == self._term and revision == self._revision:
            return
        self._term, self._revision = term, revision
        self._header = wire.field(_HEADER_FIELD, self.header().SerializeToString())

    def header(self) -> common_pb2.ResponseHeader:
        """The header of coord.v1 responses."""
        return common_pb2.ResponseHeader(
            cluster_id=self._cluster_id,
            node_id=self._node_id,
            term=self._term,
            revision=self._revision,
        )

    def etcd_header(self, revision: int) -> etcd_pb.ResponseHeader:
        """The header of an etcd response, at the revision that its reply was given at."""
        cluster_id, member_id = self._etcd_ids
        return etcd_pb.ResponseHeader(
            cluster_id=cluster_id, member_id=member_id, revision=revision, raft_term=self._term
        )

    def with_header(self, message: Message) -> bytes:
        """The bytes of a coord.v1 response whose header is not filled in, with it."""
        return self._header + message.SerializeToString()

    def encode(self, kind: int, command: Any, reply: Any, lookup: Lookup) -> bytes:
        """The response bytes for a request of this kind that was answered with `reply`.

        `reply` must not be Rejected: that is an error status, not a response."""
        return self.encode_message(kind, self.message(kind, command, reply, lookup))

    def message(self, kind: int, command: Any, reply: Any, lookup: Lookup) -> Message:
        """The response as a message; the header of a coord.v1 response is not filled in."""
        if kind in ETCD_KINDS:
            response: Message = kv.response(reply, self.etcd_header(reply.revision))
            return response
        return _BUILDERS[kind](command, reply, lookup)

    def encode_message(self, kind: int, message: Message) -> bytes:
        """The bytes of what `message` gave."""
        if kind in ETCD_KINDS:
            data: bytes = message.SerializeToString()
            return data
        return self.with_header(message)

    def encode_range(self, reply: KvRangeReply) -> bytes:
        """The response bytes of an etcd Range."""
        message = kv.range_response(reply, self.etcd_header(reply.revision))
        data: bytes = message.SerializeToString()
        return data

    def range_parts(self, reply: KvRangeReply) -> Iterator[bytes]:
        """The response bytes of an etcd Range, in parts to be joined: each takes a few ms."""
        first, rest = reply.kvs[:PART_KEYS], reply.kvs[PART_KEYS:]
        yield self.encode_range(reply._replace(kvs=first))
        for start in range(0, len(rest), PART_KEYS):
            kvs = [kv.key_value(one) for one in rest[start : start + PART_KEYS]]
            yield etcd_pb.RangeResponse(kvs=kvs).SerializeToString()


_DOMAINS: Final = (sessions.ENCODERS, tasks.ENCODERS, locks.ENCODERS, cluster.ENCODERS)
_BUILDERS: Final[dict[int, ReplyBuilder]] = {
    int(kind): build for encoders in _DOMAINS for kind, build in encoders.items()
}
