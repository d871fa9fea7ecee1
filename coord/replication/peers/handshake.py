"""First frames of a connection between nodes: the dialling side says who it is and whom it wants,
the accepting side welcomes or refuses it with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from coord.replication.levels import MAX_LEVEL
from coord.replication.peers.frames import FrameError, pack, unpack

MAGIC = "coord-peer"
PROTOCOL_VERSION = 1
MAX_HANDSHAKE_BYTES = 4096
MAX_RUN_ID = 64
_MAX_ID_LENGTH = 256
_MAX_FIELDS = 32
_NOT_HERE = (
    "another cluster or another node is at this address; compare cluster_id, the node ids and the "
    "peer addresses in the configurations"
)


class Refusal(StrEnum):
    """Why a connection is not taken."""

    BAD_HANDSHAKE = "BAD_HANDSHAKE"
    WRONG_VERSION = "WRONG_VERSION"
    NOT_HERE = "NOT_HERE"  # another cluster or node is; which one is not told
    UNKNOWN_NODE = "UNKNOWN_NODE"
    SUPERSEDED = "SUPERSEDED"
    LEVEL_TOO_LOW = "LEVEL_TOO_LOW"
    BEYOND_REASON = "BEYOND_REASON"
    OLDER_COPY = "OLDER_COPY"
    CLONE = "CLONE"


class RefusedError(Exception):
    """A connection is refused, by this side or by the other. `members`: what a node that is not
    known is told of who is (of any shape, when it comes from the other side). `by_us`: this side
    refuses a connection that the other would take. `told`: what the other side is told instead of
    the detail."""

    def __init__(
        self,
        refusal: str,
        detail: str,
        members: object = None,
        *,
        by_us: bool = False,
        told: str = "",
    ) -> None:
        super().__init__(f"{refusal}: {detail}")
        self.refusal = refusal
        self.detail = detail
        self.told = told or detail
        self.members = members
        self.by_us = by_us


@dataclass(frozen=True, slots=True)
class Hello:
    """Who dials (`node_id` of `cluster_id` in its `boot_id`-th run) and whom it means to reach.
    `level`: the highest feature level that its build supports. `run_id`: drawn at random for the
    run; empty: its build draws none. `runs`: numbers and ids of the last ones with its data
    directory. `is_new`: that directory is new, and the node takes no part yet."""

    cluster_id: str
    node_id: str
    target_id: str
    boot_id: int
    version: int = PROTOCOL_VERSION
    level: int = 0
    run_id: str = ""
    is_new: bool = False
    runs: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """The connection is taken. `level`: the highest that the other side's build supports."""

    level: int = 0


def encode_hello(hello: Hello) -> bytes:
    return pack(
        {
            "magic": MAGIC,
            "version": hello.version,
            "cluster": hello.cluster_id,
            "node": hello.node_id,
            "target": hello.target_id,
            "boot": hello.boot_id,
            "level": hello.level,
            "run": hello.run_id,
            "new": hello.is_new,
            "runs": [list(run) for run in hello.runs],
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
    if type(boot_id) is not int or boot_id < 0:
        raise RefusedError(Refusal.BAD_HANDSHAKE, "the boot id is missing")
    cluster_id, node_id, target_id = map(str, texts)
    run_id, is_new, runs = values.get("run", ""), values.get("new", False), values.get("runs", [])
    if not _is_run_id(run_id) or type(is_new) is not bool or not _are_runs(runs):
        raise RefusedError(Refusal.BAD_HANDSHAKE, "the run id is none")
    return Hello(
        cluster_id,
        node_id,
        target_id,
        boot_id,
        level=_level_of(values),
        run_id=run_id,
        is_new=is_new,
        runs=tuple((number, drawn) for number, drawn in runs),
    )


def _is_run_id(value: object) -> bool:
    return type(value) is str and len(value) <= MAX_RUN_ID


def _are_runs(value: object) -> bool:
    return type(value) is list and all(
        type(run) is list and len(run) == 2 and type(run[0]) is int and _is_run_id(run[1])
        for run in value
    )


def encode_welcome(welcome: Welcome | None = None) -> bytes:
    level = (welcome or Welcome()).level
    return pack({"magic": MAGIC, "version": PROTOCOL_VERSION, "refused": None, "level": level})


def encode_refusal(error: RefusedError) -> bytes:
    return pack(
        {
            "magic": MAGIC,
            "version": PROTOCOL_VERSION,
            "refused": str(error.refusal),
            "detail": error.told,
            "members": error.members,
        }
    )


def check_answer(payload: memoryview) -> Welcome:
    """Return if welcome, raise RefusedError if not."""
    values = _unpack_map(payload)
    if values.get("magic") != MAGIC:
        raise RefusedError(Refusal.BAD_HANDSHAKE, "the other side is not a node of this kind")
    refusal = values.get("refused", "")
    if refusal is not None:
        members = values.get("members")
        raise RefusedError(str(refusal)[:100], str(values.get("detail"))[:500], members)
    return Welcome(_level_of(values))


def check_hello(hello: Hello, cluster_id: str, node_id: str) -> None:
    """Raise RefusedError unless `hello` is for this node, from one of its cluster. Who asks for
    another cluster or node may be a stranger, and learns nothing of this one."""
    if hello.cluster_id != cluster_id:
        detail = f"node {hello.node_id!r} is of cluster {hello.cluster_id!r}, not {cluster_id!r}"
        raise RefusedError(Refusal.NOT_HERE, detail, told=_NOT_HERE)
    if hello.target_id != node_id:
        detail = f"node {hello.node_id!r} wants node {hello.target_id!r}, this is {node_id!r}"
        raise RefusedError(Refusal.NOT_HERE, detail, told=_NOT_HERE)


def _level_of(values: dict[Any, Any]) -> int:
    """Builds that were made before there were levels say nothing of them."""
    level = values.get("level", 0)
    if type(level) is not int or not 0 <= level <= MAX_LEVEL:
        raise RefusedError(Refusal.BAD_HANDSHAKE, "the feature level is not a level")
    return level


def _unpack_map(payload: memoryview) -> dict[Any, Any]:
    try:
        values = unpack(payload, max_width=_MAX_FIELDS)
    except FrameError as error:
        raise RefusedError(Refusal.BAD_HANDSHAKE, str(error)[:200]) from error
    if not isinstance(values, dict):
        raise RefusedError(Refusal.BAD_HANDSHAKE, "a map was expected")
    return values
