"""Lists what users rely on in docs/api: public names with their signatures, commands with their
options. With --verify it only says how what is committed differs from what there is."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable
from pathlib import Path

import agentnode
import coord.client
import coord.client.sync
from agentnode.cli import app as agentnode_app
from chaos.cli import app as chaos_app
from coord.cli.main import app as coord_app
from scripts.lib.public_api.commands import command_lines
from scripts.lib.public_api.names import module_lines

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "api"
ADVICE = (
    "The public API is not what docs/api says. If you meant to change it, run scripts/gen_api and "
    "add a line to CHANGELOG.md; old forms go on working."
)


def listings() -> dict[str, str]:
    """File name -> text of each listing."""
    commands = {"coord": coord_app, "agentnode": agentnode_app, "chaos": chaos_app}
    return {
        "client.txt": _text(module_lines(coord.client, _parts(coord.client.Client("a:1")))),
        "client-sync.txt": _text(module_lines(coord.client.sync, _blocking_parts())),
        "agentnode.txt": _text(module_lines(agentnode)),
        "commands.txt": _text(
            line for name, app in commands.items() for line in command_lines(app, name)
        ),
    }


def differences(wanted: dict[str, str], folder: Path = FOLDER) -> str:
    """How the files differ from what they should be, as a patch; empty if they do not."""
    found: list[str] = []
    for name in sorted({*wanted, *(path.name for path in folder.glob("*.txt"))}):
        path = folder / name
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        old, new = current.splitlines(), wanted.get(name, "").splitlines()
        found += difflib.unified_diff(old, new, f"docs/api/{name}", "what there is", lineterm="")
    return "\n".join(found)


def _parts(client: object) -> dict[str, type]:
    return {f"client.{n}": type(part) for n, part in vars(client).items() if n[0] != "_"}


def _blocking_parts() -> dict[str, type]:
    with coord.client.sync.Client("a:1") as client:
        return _parts(client)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines).strip("\n") + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verify", action="store_true", help="change nothing; exit 1 if stale")
    wanted = listings()
    found = differences(wanted)
    if parser.parse_args().verify:
        if found:
            print(f"{found}\n\n{ADVICE}")
        return 1 if found else 0
    for path in FOLDER.glob("*.txt"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
