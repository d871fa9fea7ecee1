"""Which modules are looked at: the standard library of the running interpreter."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Not part of the library proper: installed packages, tests, deliberately broken sources.
SKIPPED_FOLDERS = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"}
)


@dataclass(frozen=True, slots=True, order=True)
class Module:
    """`path` is relative to the library's folder, with forward slashes."""

    name: str
    path: str

    @property
    def package(self) -> str:
        """The outermost package, or the module itself when it is in none."""
        return self.name.partition(".")[0]


def library_folder() -> Path:
    """Where the running interpreter keeps its standard library."""
    return Path(sysconfig.get_path("stdlib"))


def list_modules(folder: Path, limit: int = 0) -> list[Module]:
    """All modules below `folder` in order of name; with a limit, that many spread evenly."""
    found = sorted(_walk(folder, ""))
    if 0 < limit < len(found):
        found = [found[i * len(found) // limit] for i in range(limit)]
    return found


def _walk(folder: Path, prefix: str) -> Iterator[Module]:
    for entry in folder.iterdir():
        if entry.is_dir():
            # A folder that cannot be imported (config-3.11-x86_64) holds no modules.
            if entry.name not in SKIPPED_FOLDERS and entry.name.isidentifier():
                yield from _walk(entry, f"{prefix}{entry.name}/")
        elif entry.suffix == ".py":
            path = f"{prefix}{entry.name}"
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            yield Module(name, path)
