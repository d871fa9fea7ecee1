"""A principal <-> the text that stands for it in a log entry: `kind:name`.

Builds before principals had a structure wrote two texts, which keep their meaning and are still
written: "anonymous", and nothing for a request of the cluster itself. They read a text that is new
to them as they read any other.
"""

from __future__ import annotations

from typing import Final

from coord.core.base.principal import ANONYMOUS, INTERNAL, Principal

_SEPARATOR: Final = ":"
_TEXTS: Final = {ANONYMOUS: "anonymous", INTERNAL: ""}
_PRINCIPALS: Final = {text: principal for principal, text in _TEXTS.items()}


def principal_text(principal: Principal) -> str:
    """The text in the log. Raises ValueError for a kind that no text could name."""
    if principal is ANONYMOUS:
        return "anonymous"
    text = _TEXTS.get(principal)
    if text is not None:
        return text
    kind, name = principal
    if not kind or _SEPARATOR in kind:
        raise ValueError(f"the kind of a principal is {kind!a}; it must be a text without a colon")
    return f"{kind}{_SEPARATOR}{name}"


def principal_in(text: str) -> Principal:
    """The principal that a log entry names. A text of any other form names nobody."""
    known = _PRINCIPALS.get(text)
    if known is not None:
        return known
    kind, separator, name = text.partition(_SEPARATOR)
    return Principal(kind, name) if separator and kind else ANONYMOUS
