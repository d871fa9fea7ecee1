"""Every refusal has a status code and machine-readable details."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2, status_pb2

from coord.core.base.refusal import Reason, Rejected
from coord.replication.port import (
    BusyError,
    NotLeaderError,
    OutcomeUnknownError,
    ReplicationError,
    WriteBlockedError,
)
from coord.rpc.status import (
    code_in,
    code_of,
    details_of,
    etcd_refusal,
    grpc_code,
    reason_in,
    refusal,
    replication_failure,
)
from coord.runtime.errors import CallError, Code


def info_of(error: CallError) -> error_details_pb2.ErrorInfo:
    status = status_pb2.Status.FromString(details_of(error))
    assert status.code == int(error.code)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason(reason: Reason) -> None:
    error = refusal(Rejected(reason, "why", (("current", "5"),)))
    info = info_of(error)
    assert error.code is code_of(reason)
    assert (info.domain, info.reason) == ("coord", reason.value)
    assert dict(info.metadata) == {"current": "5", "definite": "true"}
    assert reason_in(details_of(error)) == reason.value
    assert etcd_refusal(Rejected(reason, "why")).reason == reason.value


@pytest.mark.parametrize(
    ("raised", "code", "reason", "definite"),
    [
        (NotLeaderError("n2"), Code.UNAVAILABLE, "NOT_LEADER", True),
        (NotLeaderError(None), Code.UNAVAILABLE, "NO_LEADER", True),
        (BusyError(70), Code.RESOURCE_EXHAUSTED, "BUSY", True),
        (WriteBlockedError("DISK_FULL"), Code.RESOURCE_EXHAUSTED, "DISK_FULL", True),
        (
            WriteBlockedError("LEADERSHIP_TRANSFER"),
            Code.UNAVAILABLE,
            "WRITES_BLOCKED",
            True,
        ),
        (OutcomeUnknownError("lost"), Code.UNAVAILABLE, "OUTCOME_UNKNOWN", False),
        (ReplicationError("stopped"), Code.UNAVAILABLE, "NO_LEADER", True),
    ],
)
def test_what_replication_raises(
    raised: ReplicationError, code: Code, reason: str, definite: bool
) -> None:
    error = replication_failure(raised)
    assert (error.code, error.reason, error.definite) == (code, reason, definite)
    assert info_of(error).metadata["definite"] == ("true" if definite else "false")


@pytest.mark.parametrize("code", list(Code))
def test_codes_have_the_names_and_numbers_of_grpc(code: Code) -> None:
    assert grpc_code(code).value[0] == code
    assert grpc_code(code).name == code.name
    assert code_in(grpc_code(code)) is code


def test_foreign_details_have_no_reason_of_ours() -> None:
    assert reason_in(b"\xff\xff") == ""
    assert reason_in(status_pb2.Status(code=3).SerializeToString()) == ""
