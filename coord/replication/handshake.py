"""First frames of a connection between nodes: the dialling side says who it is and whom it wants,
the accepting side welcomes or refuses it with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from coord.replication.frames import FrameError, pack, unpack

MAGIC = "coord-peer"
PROTOCOL_VERSION = 1
MAX_HANDSHAKE_BYTES = 4096
_MAX_ID_LENGTH = 256


class Refusal(StrEnum):
    """Why a connection is not taken."""

    BAD_HANDSHAKE = "BAD_HANDSHAKE"
    WRONG_VERSION = "WRONG_VERSION"
    WRONG_CLUSTER = "WRONG_CLUSTER"
    WRONG_TARGET = "WRONG_TARGET"
    UNKNOWN_NODE = "UNKNOWN_NODE"
    SUPERSEDED = "SUPERSEDED"


class RefusedError(Exception):
    """A connection is refused, by this side or by the other. `members`: what a node that is not
    known is told of who is (of any shape, when it comes from the other side)."""

    def __init__(self, refusal: str, detail: str, members: object = None) -> None:
        super().__init__(f"{refusal}: {detail}")
        self.refusal = refusal
        self.detail = detail
        self.members = members


@dataclass(frozen=True, slots=True)
class Hello:
    """Who dials (`node_id` of `cluster_id` in its `boot_id`-th run) and whom it means to reach."""

    cluster_id: str
    node_id: str
    target_id: str
    boot_id: int
    version: int = PROTOCOL_VERSION


def encode_hello(hello: Hello) -> bytes:
    return pack(
        {
            "magic": MAGIC,
            "version": hello.version,
            "cluster": hello.cluster_id,
            "node": hello.node_id,
            "target": hello.target_id,
            "boot": hello.boot_id,
        }
    )


def decode_hello(payload: memoryview) -> Hello:
    """Raises RefusedError (bad handshake, or another version, whose other fields are not read)."""
    values = _unpack_map(payload)
    if values.get("magic") != MAGIC:
        raise RefusedError(Refusal.BAD_HANDSHAKE, "this is not a node of this kind")
    version = values.get("version")
    if version != PROTOCOL_VERSION:
        detail = f"peer protocol {version!r} offered, {PROTOCOL_VERSION} spoken here"
        raise RefusedError(Refusal.WRONG_VERSION, detail[:200])
    texts = [values.get(name) for name in ("cluster", "node", "target")]
    boot_id = values.get("boot")
    if not all(isinstance(text, str) and len(text) <= _MAX_ID_LENGTH for text in texts):
        raise RefusedError(Refusal.BAD_HANDSHAKE, "an id is missing or too long")
    if not isinstance(boot_id, int):
        raise RefusedError(Refusal.BAD_HANDSHAKE, "the boot id is missing")
    cluster_id, node_id, target_id = map(str, texts)
    return Hello(cluster_id, node_id, target_id, boot_id)


def encode_welcome() -> bytes:
    return pack({"magic": MAGIC, "version": PROTOCOL_VERSION, "refused": None})


def encode_refusal(error: RefusedError) -> bytes:
    return pack(
        {
            "magic": MAGIC,
            "version": PROTOCOL_VERSION,
            "refused": str(error.refusal),
            "detail": error.detail,
            "members": error.members,
        }
    )


def check_answer(payload: memoryview) -> None:
    """Return if welcome, raise RefusedError if not."""
    values = _unpack_map(payload)
    if values.get("magic") != MAGIC:
        raise RefusedError(Refusal.BAD_HANDSHAKE, "the other side is not a node of this kind")
    refusal = values.get("refused", "")
    if refusal is not None:
        members = values.get("members")
        raise RefusedError(str(refusal)[:100], str(values.get("detail"))[:500], members)


def check_hello(hello: Hello, cluster_id: str, node_id: str) -> None:
    """Raise RefusedError unless `hello` is for this node, from one of its cluster."""
    if hello.cluster_id != cluster_id:
        detail = f"node {hello.node_id!r} is of cluster {hello.cluster_id!r}, not {cluster_id!r}"
        raise RefusedError(Refusal.WRONG_CLUSTER, detail)
    if hello.target_id != node_id:
        detail = f"node {hello.node_id!r} wants node {hello.target_id!r}, this is {node_id!r}"
        raise RefusedError(Refusal.WRONG_TARGET, detail)


def _unpack_map(payload: memoryview) -> dict[Any, Any]:
    try:
        values = unpack(payload)
    except FrameError as error:
        raise RefusedError(Refusal.BAD_HANDSHAKE, str(error)[:200]) from error
    if not isinstance(values, dict):
        raise RefusedError(Refusal.BAD_HANDSHAKE, "a map was expected")
    return values
