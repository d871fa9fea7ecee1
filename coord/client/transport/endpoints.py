"""The nodes to talk to, as people write them: HOST:PORT, several with commas between."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

DEFAULT_ENDPOINTS: Final = "127.0.0.1:7400"
VARIABLE: Final = "COORD_ENDPOINTS"

_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/,\[\]]+):(\d{1,5})")


def endpoints_of(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """The endpoints that are given; without any those of COORD_ENDPOINTS, or else this machine's.
    ValueError names one that is not HOST:PORT."""
    source = ""
    if given is None:
        given = os.environ.get(VARIABLE, "").strip()
        source = f" (from {VARIABLE})" if given else ""
        given = given or DEFAULT_ENDPOINTS
    parts = given.split(",") if isinstance(given, str) else given
    endpoints = tuple(_checked(part, source) for part in parts if part != "")
    if not endpoints:
        raise ValueError("at least one endpoint is needed (HOST:PORT)")
    return endpoints


def _checked(endpoint: str, source: str) -> str:
    if not isinstance(endpoint, str):
        raise TypeError(f"an endpoint is a text HOST:PORT, not {type(endpoint).__name__}")
    endpoint = endpoint.strip()
    found = _ENDPOINT.fullmatch(endpoint)
    if not found or not 0 < int(found[2]) < 65_536:
        raise ValueError(f"endpoint {endpoint[:200]!r} is not HOST:PORT{source}")
    return endpoint
