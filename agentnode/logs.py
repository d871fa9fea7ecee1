"""Log lines of the worker process: to standard error, for people or as JSON."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, TextIO, cast

import structlog

FORMATS = ("console", "json")
LEVELS = ("debug", "info", "warning", "error")


_settings = ["console", "info"]


def settings() -> tuple[str, str]:
    """Format and level, as configured last."""
    return _settings[0], _settings[1]


class Unbreakable:
    """A stream for the log whose loss stops nothing: a reader that went away, a handler that closed
    standard error."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure(log_format: str = "console", level: str = "info") -> None:
    """Set up structlog for this process."""
    _settings[:] = [log_format, level]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    processors: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Unbreakable(sys.stderr))),
    )
