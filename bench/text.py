"""Numbers for people."""

from __future__ import annotations


def number(value: float) -> str:
    """Three digits that count; whole numbers from 100 on."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
