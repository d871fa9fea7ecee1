"""In which form this program runs the core: as Python, or compiled from the same files."""

from __future__ import annotations

from typing import Final

COMPILED: Final = not __file__.endswith(".py")
