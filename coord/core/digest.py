"""A short text that is equal on two nodes exactly if their states are.

BLAKE2b over every row of every table in canonical order. It reads a frozen view in slices, so a
large state is digested while batches go on being applied, and the digest is that of one moment.
Rows differ in size by a factor of ten thousand, so a slice is measured in text, not in rows."""

from __future__ import annotations

from hashlib import blake2b
from types import TracebackType
from typing import Final

from coord.core.snapshot import NamedRow, StateView
from coord.core.state import State

_DIGEST_BYTES: Final = 16
_SLICE_CHARS: Final = 32 * 1024
_ROWS_AT_ONCE: Final = 64


class Digester:
    """Digests the state as of its creation. An iterator: None after every slice that is not the
    last one, then the digest (32 hexadecimal digits). `close` it if it is not read to its end."""

    def __init__(self, state: State, slice_chars: int = _SLICE_CHARS) -> None:
        self.revision = state.revision
        self._view = StateView(state)
        self._slice_chars = slice_chars
        self._rows: list[NamedRow] = []  # read and not yet digested, the next one last
        self._hash = blake2b(digest_size=_DIGEST_BYTES)
        self._finished = False

    def __iter__(self) -> Digester:
        return self

    def __next__(self) -> str | None:
        if self._finished:
            raise StopIteration
        lines: list[str] = []
        size = 0
        while size < self._slice_chars:
            if not self._rows and not self._read():
                break
            # ascii() of integers, text, bytes and tuples is the same in every Python, unlike
            # repr().
            line = ascii(self._rows.pop())
            lines.append(line)
            size += len(line)
        if not lines:
            self._finished = True
            return self._hash.hexdigest()
        self._hash.update("\n".join(lines).encode())
        self._hash.update(b"\n")
        return None

    def _read(self) -> bool:
        rows = self._view.next_rows(_ROWS_AT_ONCE)
        if rows is None:
            return False
        self._rows = rows[::-1]
        return True

    def __enter__(self) -> Digester:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the view; may be called twice."""
        self._finished = True
        self._view.close()


def digest(state: State) -> str:
    """The digest in one go."""
    result = None
    for result in Digester(state):  # noqa: B007 - the last one is wanted
        pass
    return result or ""
