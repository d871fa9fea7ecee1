"""Docstrings of the async client, as they read where calls block."""

from __future__ import annotations

import inspect
import re
import textwrap

LINE = 100
_REPLACED = {"an `async with`": "a `with`", "async with": "with", "async for": "for", "await ": ""}
# The blocking client has an event loop of its own, of which its users need not know.
_ONLY_ASYNC = "event loop"


def blocking(doc: str) -> str:
    """The docstring without what only holds for code with an event loop."""
    paragraphs = [_paragraph(one) for one in inspect.cleandoc(doc).split("\n\n")]
    return "\n\n".join(one for one in paragraphs if one)


def docstring(doc: str, *, indent: int = 4, within: int = 0) -> str:
    """The source of a docstring, `indent` columns in, in code that itself stands `within` columns
    in."""
    text = doc.replace("\\", "\\\\")
    paragraphs = f'"""{text}"""'.split("\n\n")
    return "\n\n".join(_wrapped(one, " " * indent, LINE - within) for one in paragraphs)


def _paragraph(text: str) -> str:
    for old, new in _REPLACED.items():
        text = text.replace(old, new)
    if _is_code(text):
        return text
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(text.split()))
    return " ".join(one for one in sentences if _ONLY_ASYNC not in one)


def _wrapped(text: str, margin: str, width: int) -> str:
    if _is_code(text):
        return textwrap.indent(text, margin)
    return textwrap.fill(
        text,
        width,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _is_code(text: str) -> bool:
    return text.startswith("    ")
