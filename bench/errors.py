"""What can go wrong in a benchmark."""

from __future__ import annotations


class BenchError(Exception):
    """A measurement could not be made; the text says why."""


class NotAvailableError(BenchError):
    """A system cannot run here: something is not installed. The text says what."""
