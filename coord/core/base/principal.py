"""Who a request is made for."""

from __future__ import annotations

from typing import Final, NamedTuple


class Principal(NamedTuple):
    """An identity. `kind` says what it is, and what `name` is unique within."""

    kind: str
    name: str


ANONYMOUS: Final = Principal("anonymous", "")
"""Somebody who has not said who they are."""

INTERNAL: Final = Principal("internal", "")
"""The cluster itself: a request that a node makes for nobody."""
