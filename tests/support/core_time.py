"""Times that tests of the core name."""

from __future__ import annotations

from typing import Final

# After everything that a test can make due.
FOREVER_MS: Final = 10**15
