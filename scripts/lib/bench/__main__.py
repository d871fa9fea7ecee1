"""`python -m scripts.lib.bench`."""

from __future__ import annotations

import sys

from scripts.lib.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
