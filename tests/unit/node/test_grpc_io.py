"""How gRPC waits for sockets is chosen only where it is known, and never over the user's choice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from coord.node.grpc_io import POLL_IN_PLACE, VARIABLE, poll_in_place


def test_a_known_version_is_told_to_poll_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert poll_in_place("1.85.3")
    assert os.environ[VARIABLE] == POLL_IN_PLACE


def test_what_the_user_chose_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert not poll_in_place("1.85.3")
    assert os.environ[VARIABLE] == ""


@pytest.mark.parametrize("version", ["1.74.0", "1.850.0", "2.0.0"])
def test_other_versions_are_left_alone(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not poll_in_place(version)
    assert VARIABLE not in os.environ


def test_the_installed_grpc_knows_the_names() -> None:
    """It would say on standard error which of them it does not know."""
    code = (
        "from coord.node.grpc_io import poll_in_place; poll_in_place()\n"
        "import grpc; grpc.insecure_channel('127.0.0.1:1').close()"
    )
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "experiment" not in done.stderr
