"""Words for people: no control characters, times with units, plurals, the gist of an error."""

from __future__ import annotations

import os
import re

# The first words of what Python, and some handlers, put before an error's own line.
_TRACEBACK = "Traceback (most recent call last):"
_ERRNO = re.compile(r"^\[Errno \d+\] ")


def printable(text: str) -> str:
    """Text without control characters; line breaks and the like are shown as escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def printable_lines(text: str) -> list[str]:
    """The lines of a text, each without control characters."""
    return [printable(line.replace("\t", "    ")) for line in text.rstrip("\n").split("\n")]


def gist(text: str) -> str:
    """The line that says most in an error of several lines: what was raised, not where."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    if lines[0].strip() != _TRACEBACK:
        return lines[0].strip()
    raised = [line for line in lines[1:] if not line[:1].isspace() and line.strip() != _TRACEBACK]
    return (raised or lines)[-1].strip()


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 task", "2 tasks", "3,000 keys"; `many` where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(milliseconds: int) -> str:
    """A time for people: 250 ms, 3.2 s, 4 min 10 s, 3 h 5 min, 2 d 4 h."""
    seconds, rest = divmod(milliseconds, 1_000)
    if seconds == 0:
        return f"{rest} ms"
    if seconds < 60:
        return f"{seconds}.{rest // 100} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def os_reason(error: OSError) -> str:
    """What the system said, without its number, and about which file if it told."""
    reason = _ERRNO.sub("", error.strerror or str(error)) or type(error).__name__
    reason = reason[:1].lower() + reason[1:]
    name = error.filename
    if name is None:
        return reason
    return f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {reason}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
