"""Logs of a node: one event a line on standard error, for people or as JSON."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Literal

import structlog

from coord.ratelimit import LogLimiter

Format = Literal["console", "json"]


class _Limited(logging.Filter):
    """Bounds what libraries log of one kind: what they complain of, others may cause."""

    def __init__(self) -> None:
        super().__init__()
        self._limiter = LogLimiter(time.monotonic)

    def filter(self, record: logging.LogRecord) -> bool:
        suppressed = self._limiter.admit(f"{record.name} {record.levelname}")
        if suppressed is None:
            return False
        if suppressed:
            record.msg = f"{record.getMessage()} ({suppressed} such lines were left out)"
            record.args = ()
        return True


def set_up_logs(level: str, style: Format, **bound: Any) -> None:
    """Set up logging of this process. `bound` (the node's id, say) is in every event."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if style == "json"
        # Plain tracebacks: fancier ones show local variables, and with them what clients sent.
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)
    # Libraries log through the standard module: the same lines, from warnings on, not very many.
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Limited())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
