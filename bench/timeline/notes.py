"""Moments noted in a process."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

Moment = tuple[int, str]  # nanoseconds on the machine's clock, and what it is


class Notes:
    """What one process has noted. `owner` is a class; its method is replaced by one that notes."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def note(self, name: str) -> None:
        self.moments.append((time.monotonic_ns(), name))

    def calls(self, owner: Any, method: str, *, begun: str = "", ended: str = "") -> None:
        """Each call is noted when it begins, when it has ended, or both, under these names."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def noting(*arguments: Any, **named: Any) -> Any:
            if begun:
                self.note(begun)
            outcome = original(*arguments, **named)
            if ended:
                self.note(ended)
            return outcome

        setattr(owner, method, noting)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.moments), encoding="utf-8")


def read(path: Path) -> list[Moment]:
    """What another process has written."""
    return [(at_ns, name) for at_ns, name in json.loads(path.read_text(encoding="utf-8"))]
