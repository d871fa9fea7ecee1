"""Rows as a frozen state would give them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from coord.codec.snapshot import SnapshotEncoder

NamedRow = tuple[str, tuple[Any, ...]]


class ListSource:
    def __init__(self, rows: list[NamedRow]) -> None:
        self._rows = iter(rows)
        self.closed = 0
        self.asked: list[int] = []

    def next_rows(self, max_rows: int) -> list[NamedRow] | None:
        self.asked.append(max_rows)
        rows = list(islice(self._rows, max_rows))
        return rows or None

    def close(self) -> None:
        self.closed += 1


def chunks_of(rows: list[NamedRow]) -> Iterator[bytes]:
    encoder = SnapshotEncoder(ListSource(rows))
    return iter(encoder.next_chunk, None)  # type: ignore[arg-type]
