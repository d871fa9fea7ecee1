"""Rows of the settings of the cluster."""

from __future__ import annotations

from coord.core.base.table import GivenRow, Row


def encode_setting(name: str, value: int) -> Row:
    return (name, value)


def decode_setting(row: GivenRow) -> tuple[str, int]:
    return row[0], row[1]
