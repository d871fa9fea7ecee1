"""A temporary copy of the tree, in which one mutant after the other is tried."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.lib.mutate.mutant import Mutant

_FOLDERS = ("agentnode", "chaos", "coord", "examples", "proto", "scripts", "tests")
_FILES = ("pyproject.toml", "setup.py")
# A compiled core would hide the mutated sources.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.so", ".hypothesis", ".pytest_cache")


class Tree:
    """The copy. The original is never written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tried = 0

    @contextmanager
    def with_mutant(self, mutant: Mutant) -> Iterator[None]:
        """The tree has this bug, and has it no more afterwards. Raises MutantError."""
        path = self.root / mutant.path
        mutated = mutant.check(self.root)
        source, times = path.read_bytes(), path.stat()
        path.write_text(mutated, encoding="utf-8")
        # Python tells stale bytecode by size and whole seconds: no two versions may share them.
        self._tried += 1
        changed_at = int(times.st_mtime) + self._tried
        os.utime(path, (changed_at, changed_at))
        try:
            yield
        finally:
            path.write_bytes(source)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextmanager
def copied(root: Path) -> Iterator[Tree]:
    """A copy of the tree at `root`, deleted afterwards."""
    with TemporaryDirectory(prefix="coord-mutate-") as folder:
        copy = Path(folder)
        for name in _FOLDERS:
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name, ignore=_LEFT_OUT)
        for name in _FILES:
            shutil.copy2(root / name, copy / name)
        yield Tree(copy)
