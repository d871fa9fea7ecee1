"""Writes the blocking client, coord/client/sync, from the async one.

A module of the async client whose class a `Client` has as an attribute becomes a module of the same
name. With --verify nothing is changed: the exit code says whether what is committed is up to date.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from coord.client.client import Client
from scripts.lib.sync_client.source import ByHand, CannotGenerateError, Source, by_hand
from scripts.lib.sync_client.writer import MARK, ModuleWriter

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "coord" / "client" / "sync"
PACKAGE = "coord.client.sync"


def modules() -> dict[str, str]:
    """File name -> text of every generated module."""
    return generate(Client, parts_of(Client("127.0.0.1:1")))


def parts_of(client: object) -> dict[str, type]:
    """The public attributes of a client -> their classes."""
    return {name: type(part) for name, part in vars(client).items() if name[0] != "_"}


def generate(client: type, parts: Mapping[str, type]) -> dict[str, str]:
    """The modules of a client with these parts."""
    kinds = [*parts.values(), client]
    hands = {kind: by_hand(TARGET / "by_hand", f"{PACKAGE}.by_hand", _stem(kind)) for kind in kinds}
    twins = {twin: line for kind in kinds for twin, line in _twins(kind, hands[kind]).items()}
    imports = {
        name: f"from {PACKAGE}.{_stem(kind)} import {kind.__name__}" for name, kind in parts.items()
    }
    made: dict[str, str] = {}
    for kind in kinds:
        source, hand = Source(_module(kind)), hands[kind]
        writer = ModuleWriter(source, kind, hand, twins, exports=_exports(hand))
        if kind is client:
            writer.parts = imports
            writer.exports = {
                n: line for one in hands.values() for n, line in _exports(one).items()
            }
        name = f"{_stem(kind)}.py"
        if name in made:
            raise CannotGenerateError(f"two modules of the client are called {name}")
        made[name] = formatted(name, writer.text())
    return made


def formatted(name: str, text: str) -> str:
    """The text of a module with its imports sorted and its lines broken."""
    where = ["--stdin-filename", str(TARGET / name), "-"]
    for step in (["check", "--select", "I,F401", "--fix", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *step, *where],
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        if done.returncode != 0:
            raise CannotGenerateError(f"{name}: ruff says: {done.stderr or done.stdout}")
        text = done.stdout
    return text


def committed() -> dict[str, str]:
    """What stands in the folder and is marked as generated."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.py")}
    return {name: text for name, text in texts.items() if MARK in text}


def _module(kind: type) -> ModuleType:
    return sys.modules[kind.__module__]


def _stem(kind: type) -> str:
    return kind.__module__.rpartition(".")[2]


def _twins(kind: type, hand: ByHand) -> dict[type, str]:
    module = _module(kind)
    found = {getattr(module, name, None): name for name in hand.names}
    return {
        one: f"from {hand.module} import {name}"
        for one, name in found.items()
        if isinstance(one, type)
    }


def _exports(hand: ByHand) -> dict[str, str]:
    """What users can name; not the bases of what is generated."""
    names = [name for name in hand.names if not name.startswith("Blocking")]
    return {name: f"from {hand.module} import {name}" for name in names}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verify", action="store_true", help="change nothing; exit 1 if stale")
    options = parser.parse_args()
    try:
        wanted = modules()
    except CannotGenerateError as error:
        sys.stderr.write(f"gen_sync_client: {error}\n")
        return 1
    current = committed()
    stale = sorted(n for n in {*wanted, *current} if wanted.get(n) != current.get(n))
    if options.verify:
        if stale:
            print(f"gen_sync_client: out of date: {', '.join(stale)}; run scripts/gen_sync_client")
        return 1 if stale else 0
    for name in stale:
        if name in wanted:
            (TARGET / name).write_text(wanted[name], encoding="utf-8")
        else:
            (TARGET / name).unlink()
    print(f"gen_sync_client: {len(stale)} file(s) changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
