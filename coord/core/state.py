"""Everything the cluster agrees on."""

from __future__ import annotations

from coord.core.table import Row, Table, View

__all__ = ["Row", "Table", "View"]
