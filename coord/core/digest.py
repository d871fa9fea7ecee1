"""A short text that is equal on two nodes exactly if their states are.

BLAKE2b over every row of every table in canonical order. It reads a frozen view in slices, so a
large state is digested while batches go on being applied, and the digest is that of one moment.
Rows differ in size by a factor of ten thousand and more, so a slice is measured in text, not in
rows, and a row that is larger than a slice is digested in parts."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from types import TracebackType
from typing import Any, Final

from coord.core.base.weight import weight_of
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
        self._parts: Iterator[str] = iter(())  # of a large row
        self._hash = blake2b(digest_size=_DIGEST_BYTES)
        self._finished = False

    def __iter__(self) -> Digester:
        return self

    def __next__(self) -> str | None:
        if self._finished:
            raise StopIteration
        parts: list[str] = []
        size = 0
        while size < self._slice_chars:
            # Only the last row of a read can be very large: the view ends its slice with it.
            row = self._rows.pop() if len(self._rows) > 1 else None
            part = self._next_part() if row is None else _text(row)
            if part is None:
                break
            parts.append(part)
            size += len(part) or self._slice_chars
        if not parts:
            self._finished = True
            return self._hash.hexdigest()
        self._hash.update("".join(parts).encode())
        return None

    def _next_part(self) -> str | None:
        """A row and the end of its line, or a part of that; nothing where rows are hard to find."""
        part = next(self._parts, None)
        if part is not None:
            return part
        if not self._rows and not self._read():
            return None
        if not self._rows:
            return ""
        row = self._rows.pop()
        if self._rows or weight_of(row) <= self._slice_chars:
            return _text(row)
        self._parts = _line(row, self._slice_chars)
        return next(self._parts)

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


def _text(row: NamedRow) -> str:
    # ascii() of integers, text, bytes and tuples is the same in every Python, unlike repr().
    return ascii(row) + "\n"


def _line(row: Any, max_chars: int) -> Iterator[str]:
    yield from _ascii_parts(row, max_chars)
    yield "\n"


def _ascii_parts(value: Any, max_chars: int) -> Iterator[str]:
    """ascii(value), in parts of about so much at most."""
    if isinstance(value, bytes | str) and len(value) > max_chars:
        yield from _ascii_pieces(value, max_chars)
    elif isinstance(value, tuple) and weight_of(value) > max_chars:
        yield "("
        for place, item in enumerate(value):
            if place:
                yield ", "
            yield from _ascii_parts(item, max_chars)
        yield ",)" if len(value) == 1 else ")"
    else:
        yield ascii(value)


def _ascii_pieces(value: Any, max_chars: int) -> Iterator[str]:
    """Of bytes or text. Which quotes ascii() chooses depends on what is in the whole: with both of
    them in a piece it chooses as for a value that has both, or neither."""
    begin = "b" if isinstance(value, bytes) else ""
    single: Any = b"'" if begin else "'"
    double: Any = b'"' if begin else '"'
    if single in value and double not in value:
        quote, mark, end = '"', single, "'\""
    else:
        quote, mark, end = "'", double + single, "\"\\''"
    yield begin + quote
    for at in range(0, len(value), max_chars):
        yield ascii(value[at : at + max_chars] + mark)[len(begin) + 1 : -len(end)]
    yield quote


def digest(state: State) -> str:
    """The digest in one go."""
    result = None
    for result in Digester(state):  # noqa: B007 - the last one is wanted
        pass
    return result or ""
