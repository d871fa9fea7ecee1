"""Holds the arrows of ARCHITECTURE.md: who may import whom, and that the core stays pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("coord", "agentnode", "chaos", "bench")

# Longest prefix wins. A room may import itself, coord.pb, and what is listed.
ROOMS: dict[str, tuple[str, ...]] = {
    "coord": (),
    "coord.core": (),
    "coord.pb": (),
    "coord.ratelimit": (),
    "coord.codec": ("coord.core",),
    "coord.journal": (),
    "coord.replication": ("coord.core", "coord.codec", "coord.journal", "coord.ratelimit"),
    # How a node drives the state machine: no gRPC, no event loop; the simulator drives it so too.
    "coord.rpc.cluster_clock": (),
    "coord.rpc.collector": (),
    "coord.rpc.host": (
        "coord.core",
        "coord.codec",
        "coord.replication",
        "coord.rpc.cluster_clock",
        "coord.rpc.collector",
    ),
    "coord.rpc": (
        "coord.core",
        "coord.codec",
        "coord.ratelimit",
        "coord.replication",
        "coord.rpc.cluster_clock",
        "coord.rpc.collector",
        "coord.rpc.host",
    ),
    "coord.node.config": ("coord.core", "coord.replication"),
    "coord.node.node": (
        "coord.node.config",
        "coord.core",
        "coord.codec",
        "coord.journal",
        "coord.ratelimit",
        "coord.replication",
        "coord.rpc",
        "coord.rpc.cluster_clock",
        "coord.rpc.collector",
        "coord.rpc.host",
    ),
    "coord.node.grpc_io": (),
    # What all commands share at a terminal.
    "coord.terminal": (),
    "coord.node.serve": ("coord.node.config", "coord.node.node"),
    "coord.node.dev": ("coord.node.config", "coord.localcluster"),
    "coord.client": (),
    "coord.localcluster": ("coord.client", "coord.terminal"),
    "coord.cli": (
        "coord.client",
        "coord.node.config",
        "coord.node.dev",
        "coord.node.grpc_io",
        "coord.node.serve",
        "coord.terminal",
    ),
    "agentnode": ("coord.client", "coord.node.grpc_io", "coord.terminal"),
    "chaos": ("coord.client", "coord.node.grpc_io", "coord.localcluster", "coord.terminal"),
    # Runs in the node's process: `coord serve`'s node, on a disk and clocks that can be hurt.
    "chaos.nodes": ("coord.node.config", "coord.journal", "coord.node.node", "coord.node.serve"),
    "chaos.sim": (
        "coord.core",
        "coord.codec",
        "coord.journal",
        "coord.replication",
        "coord.rpc.cluster_clock",
        "coord.rpc.host",
    ),
    # What is measured through the client, as its users do it ...
    "bench": ("coord.client", "coord.core", "coord.node.grpc_io", "coord.localcluster"),
    "bench.apps": ("agentnode",),
    # ... and what is measured in the node's process, or of its parts.
    "bench.bounds": ("coord.core", "coord.codec"),
    "bench.task_stages": ("coord.client", "coord.core", "coord.codec"),
    "bench.state": (
        "coord.node.config",
        "coord.localcluster",
        "coord.node.node",
        "coord.node.serve",
    ),
    "bench.timeline": (
        "coord.client",
        "coord.node.config",
        "coord.node.grpc_io",
        "coord.localcluster",
        "coord.replication",
        "coord.rpc",
        "coord.node.serve",
    ),
}
CORE_MAY_IMPORT = {
    "__future__",
    "bisect",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "operator",
    "sortedcontainers",
    "struct",
    "types",
    "typing",
    "zlib",  # checksums
}
# The product reaches the engine in one place; the harness also runs it as published.
IMPORTERS = {
    "pysyncobj": {
        "coord.replication.pysyncobj_engine",
        "chaos.sim.stock",
        "chaos.sim.stock_files",
        "chaos.stock.node",
    }
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> list[Path]:
    return sorted(
        path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.is_file()
    )


def imports(path: Path) -> Iterator[str]:
    """Absolute names of every module that the file imports, wherever in the file it does so."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *([node.module] if node.module else [])])


def room_of(name: str) -> str | None:
    """The longest room that holds the module `name`; None for foreign modules."""
    held = [room for room in ROOMS if name == room or name.startswith(room + ".")]
    return max(held, key=len, default=None)


def forbidden(room: str, imported: str) -> bool:
    target = room_of(imported)
    if target is None or target in {room, "coord.pb"}:
        return False
    family = room.split(".", maxsplit=1)[0]
    if family in {"bench", "chaos"} and target.split(".")[0] == family:
        return False
    return target not in ROOMS[room]


def test_there_is_something_to_check() -> None:
    assert len(modules()) > 20


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_imports_follow_the_arrows(path: Path) -> None:
    room = room_of(module_name(path))
    assert room is not None
    wrong = sorted({name for name in imports(path) if forbidden(room, name)})
    assert not wrong, f"{module_name(path)} ({room}) must not import {wrong}"


@pytest.mark.parametrize(
    "path", [p for p in modules() if room_of(module_name(p)) == "coord.core"], ids=module_name
)
def test_core_is_pure(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path) if room_of(name) is None}
    assert foreign <= CORE_MAY_IMPORT, f"impure in the core: {sorted(foreign - CORE_MAY_IMPORT)}"


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_foreign_engines_are_imported_where_they_may_be(path: Path) -> None:
    for library, importers in IMPORTERS.items():
        if any(name.split(".")[0] == library for name in imports(path)):
            assert module_name(path) in importers


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_nothing_pickles(path: Path) -> None:
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
    assert not banned & {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize(
    "path", [p for p in modules() if room_of(module_name(p)) == "chaos"], ids=module_name
)
def test_the_harness_knows_its_nodes_by_their_control_files_only(path: Path) -> None:
    inside = {name for name in imports(path) if room_of(name) == "chaos.nodes"}
    assert inside <= {"chaos.nodes.control"}


def test_the_check_can_fail() -> None:
    assert forbidden("coord.core", "coord.codec.envelope")
    assert forbidden("coord.client", "coord.core.replies")
    assert forbidden("agentnode", "coord.node.node")
    assert forbidden("chaos", "coord.node.node")
    assert forbidden("chaos.nodes", "coord.replication.port")
    assert not forbidden("agentnode", "coord.client.types")
    assert not forbidden("coord.codec", "coord.pb.task_pb2")


MAX_LINES = 600


@pytest.mark.parametrize(
    "path", [p for p in modules() if room_of(module_name(p)) != "coord.pb"], ids=module_name
)
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
