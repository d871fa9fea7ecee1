"""What a node logs: no payload of a client, and no error for a caller that has gone."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import grpc.aio
import pytest
from grpc._cython import cygrpc

from coord.rpc.status import abort
from coord.runtime import errors

LOGS_A_FAILURE = """
import sys, structlog
from coord.runtime.logs import set_up_logs
set_up_logs("info", sys.argv[1], node_id="n1")
def handle(payload):
    raise RuntimeError("broken")
try:
    handle(sys.argv[2].encode())  # no literal: tracebacks may show the line
except RuntimeError:
    structlog.get_logger("x").exception("call.failed")
    import logging
    logging.getLogger("y").exception("library failed")
"""


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_in_the_log_shows_no_values(style: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LOGS_A_FAILURE, style, "a customer's secret"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stderr.count("RuntimeError: broken") == 2
    assert "secret" not in run.stderr


class GoneContext:
    """The caller of this call has gone."""

    async def abort(self, *_: Any) -> None:
        raise cygrpc.ExecuteBatchError("Failed grpc_call_start_batch")


class LivingContext:
    async def abort(self, *_: Any) -> None:
        raise grpc.aio.AbortError


async def test_ending_the_call_of_a_caller_that_has_gone_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(asyncio.CancelledError):
        await abort(GoneContext(), errors.shutting_down())
    with pytest.raises(grpc.aio.AbortError):
        await abort(LivingContext(), errors.shutting_down())
