"""Builds the compiled core, when it is asked for: COORD_COMPILE=1 pip install .

All else about the package is in pyproject.toml. The core (coord/core) is pure Python and runs as it
is; mypyc makes extension modules of the very same files. That needs a C compiler and Python's
headers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup

REQUIRES = ["mypy[mypyc]>=1.14", "sortedcontainers>=2.4"]
CORE = Path("coord") / "core"


def extensions() -> list[Extension]:
    """The modules of the core. pip asks first what building needs: then there is no mypyc yet."""
    try:
        from mypyc.build import mypycify
    except ImportError:
        if "egg_info" in sys.argv:
            return []
        raise
    sources = sorted(str(path) for path in CORE.rglob("*.py") if path.name != "__init__.py")
    built: list[Extension] = mypycify(
        sources, opt_level="2", debug_level="0", group_name="coord_core"
    )
    return built


def wanted() -> dict[str, Any]:
    if os.environ.get("COORD_COMPILE") != "1":
        return {}
    return {"setup_requires": REQUIRES, "ext_modules": extensions()}


if __name__ == "__main__":
    setup(**wanted())
