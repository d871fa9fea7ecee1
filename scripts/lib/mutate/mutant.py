"""One mutant, and how it is put into a source file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class MutantError(Exception):
    """A mutant that cannot be tried. The text names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug of one line.

    `path`: the source file, from the root of the tree. `old` stands there exactly once; `new` takes
    its place. `tests`: the tests that must catch it, as pytest names them."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    def mutated(self, source: str) -> str:
        """The source with the bug. Raises MutantError."""
        found = source.count(self.old)
        if found != 1:
            raise MutantError(
                f"{self.name}: its text stands {found} times in {self.path}, not once; "
                "adapt the mutant to the code"
            )
        return source.replace(self.old, self.new)

    def check(self, root: Path) -> str:
        """Return the mutated source of the tree at `root`. Raises MutantError."""
        try:
            source = (root / self.path).read_text(encoding="utf-8")
        except OSError as error:
            raise MutantError(f"{self.name}: cannot read {self.path}: {error.strerror}") from error
        return self.mutated(source)


def mutant(name: str, path: str, old: str, new: str, *tests: str) -> Mutant:
    """A row of the tables of mutants."""
    return Mutant(name, path, old, new, tests)
