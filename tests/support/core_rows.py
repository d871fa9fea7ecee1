"""Reading a machine as rows."""

from __future__ import annotations

from coord.core.machine import Machine
from coord.core.snapshot import NamedRow, StateView


def read_view(view: StateView, max_rows: int = 5) -> list[NamedRow]:
    """The rest of a view, which is closed afterwards."""
    rows: list[NamedRow] = []
    while (chunk := view.next_rows(max_rows)) is not None:
        rows += chunk
    view.close()
    return rows


def read_rows(machine: Machine) -> list[NamedRow]:
    """All rows of the state as it is now."""
    return read_view(machine.freeze())
