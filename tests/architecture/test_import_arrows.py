"""Holds the arrows of ARCHITECTURE.md: who may import whom, and that the core stays pure."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
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
    # Makes all gRPC channels, and opens all ports.
    "coord.channels": (),
    "coord.codec": ("coord.core",),
    "coord.journal": (),
    "coord.replication": ("coord.journal", "coord.ratelimit"),
    # How a node drives the state machine, without gRPC.
    "coord.runtime": ("coord.core", "coord.codec", "coord.ratelimit", "coord.replication"),
    "coord.rpc": (
        "coord.channels",
        "coord.core",
        "coord.codec",
        "coord.ratelimit",
        "coord.replication",
        "coord.runtime",
    ),
    # The one place where everything is wired.
    "coord.node": (
        "coord.codec",
        "coord.core",
        "coord.journal",
        "coord.node.config",
        "coord.ratelimit",
        "coord.replication",
        "coord.rpc",
        "coord.runtime",
    ),
    "coord.node.config": ("coord.core", "coord.replication"),
    "coord.node.grpc_io": (),
    "coord.node.serve": ("coord.node", "coord.node.config"),
    "coord.node.dev": ("coord.channels", "coord.localcluster", "coord.node.config"),
    # What all commands share at a terminal.
    "coord.terminal": (),
    "coord.client": ("coord.channels",),
    "coord.localcluster": ("coord.channels", "coord.client", "coord.terminal"),
    "coord.cli": (
        "coord.client",
        "coord.node.config",
        "coord.node.dev",
        "coord.node.grpc_io",
        "coord.node.serve",
        "coord.terminal",
    ),
    "agentnode": ("coord.client", "coord.node.grpc_io", "coord.terminal"),
    "chaos": ("coord.client", "coord.localcluster", "coord.node.grpc_io", "coord.terminal"),
    # Runs in the node's process: `coord serve`'s node, on a disk and clocks that can be hurt.
    "chaos.nodes": ("coord.journal", "coord.node", "coord.node.config", "coord.node.serve"),
    "chaos.sim": (
        "coord.core",
        "coord.codec",
        "coord.journal",
        "coord.replication",
        "coord.runtime",
    ),
    # What is measured through the client, as its users do it ...
    "bench": (
        "coord.channels",
        "coord.client",
        "coord.core",
        "coord.localcluster",
        "coord.node.grpc_io",
    ),
    "bench.apps": ("agentnode",),
    # ... and what is measured in the node's process, or of its parts.
    "bench.bounds": ("coord.core", "coord.codec"),
    "bench.task_stages": ("coord.client", "coord.core", "coord.codec"),
    "bench.state": (
        "coord.channels",
        "coord.localcluster",
        "coord.node",
        "coord.node.config",
        "coord.node.serve",
    ),
    "bench.timeline": (
        "coord.client",
        "coord.localcluster",
        "coord.node",
        "coord.node.config",
        "coord.node.grpc_io",
        "coord.node.serve",
        "coord.replication",
        "coord.rpc",
        "coord.runtime",
    ),
}
# No gRPC and no messages of the wire: the simulator runs these as they are.
WITHOUT_GRPC = ("coord.core", "coord.journal", "coord.replication", "coord.runtime")
# No event loop either: the simulator runs these on a clock of its own.
WITHOUT_LOOP = (
    "coord.core",
    "coord.codec",
    "coord.journal",
    "coord.runtime.claim_queue",
    "coord.runtime.cluster_clock",
    "coord.runtime.driver",
    "coord.runtime.fair_queue",
    "coord.runtime.level_keeper",
    "coord.runtime.parts",
    "coord.runtime.proposer",
    "coord.runtime.scheduler",
    "coord.runtime.shares",
    "coord.runtime.sliced_calls",
    "coord.runtime.state_machine",
    "coord.runtime.ticker",
    "chaos.sim",
)
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


@cache
def known_modules() -> frozenset[str]:
    return frozenset(module_name(path) for path in modules())


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
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                module = f"{source}.{alias.name}"
                yield module if module in known_modules() else source


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
    "path",
    [p for p in modules() if module_name(p).startswith(WITHOUT_GRPC)],
    ids=module_name,
)
def test_what_the_simulator_runs_knows_no_grpc(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path)}
    assert not foreign & {"grpc", "google", "grpc_health", "grpc_reflection", "grpc_status"}


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if module_name(p).startswith(WITHOUT_LOOP)],
    ids=module_name,
)
def test_what_the_simulator_runs_needs_no_event_loop(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path)}
    assert not foreign & {"asyncio", "uvloop", "threading"}


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Sets of modules that import each other, also by way of others (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in arrows[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in arrows:
        if name not in index:
            visit(name)
    return found


def test_no_modules_import_each_other() -> None:
    arrows = {
        module_name(path): sorted({name for name in imports(path) if name in known_modules()})
        for path in modules()
    }
    assert circles(arrows) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["a"]}) == [["b", "c"]]


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


CONNECTIONS = {"insecure_channel", "secure_channel", "add_insecure_port", "add_secure_port"}


def connects(source: str) -> set[str]:
    """What the source uses of gRPC to connect or to listen."""
    nodes = list(ast.walk(ast.parse(source)))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used |= {
        alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return used & CONNECTIONS


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_only_one_module_connects_and_listens(path: Path) -> None:
    used = connects(path.read_text(encoding="utf-8"))
    assert not used or module_name(path) == "coord.channels", f"use coord.channels, not {used}"


def test_a_connection_made_elsewhere_is_found() -> None:
    assert connects("import grpc\ngrpc.aio.insecure_channel('a:1')") == {"insecure_channel"}
    assert connects("from grpc.aio import secure_channel as c\nc('a:1')") == {"secure_channel"}


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
    assert forbidden("coord.client", "coord.core.batch")
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


def named_too_early(source: str) -> list[str]:
    """Fields of named tuples whose types stand further down. Python does not look at them, but the
    compiled core does when it is loaded, and ends the process."""
    body = ast.parse(source).body
    lines = {node.name: node.lineno for node in body if isinstance(node, ast.ClassDef)}
    return [
        f"{node.name}: {name.id}"
        for node in body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in node.bases)
        for field in node.body
        if isinstance(field, ast.AnnAssign)
        for name in ast.walk(field.annotation)
        if isinstance(name, ast.Name) and lines.get(name.id, 0) > node.lineno
    ]


@pytest.mark.parametrize(
    "path", [p for p in modules() if room_of(module_name(p)) == "coord.core"], ids=module_name
)
def test_named_tuples_of_the_core_name_what_stands_above_them(path: Path) -> None:
    assert named_too_early(path.read_text(encoding="utf-8")) == []


def test_a_type_that_stands_below_is_found() -> None:
    below = "class A(NamedTuple):\n    why: B | None\n\nclass B: ...\n"
    assert named_too_early(below) == ["A: B"]
    assert named_too_early("class B: ...\n" + below.split("\n\n", maxsplit=1)[0]) == []
