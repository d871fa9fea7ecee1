"""Which nodes a client talks to when nobody, the environment or the caller says so."""

from __future__ import annotations

import pytest

from coord.client import Client
from coord.client.sync import client as sync
from coord.client.transport.endpoints import VARIABLE, endpoints_of


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_caller_comes_before_the_environment_and_that_before_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert endpoints_of(None) == ("127.0.0.1:7400",)
    monkeypatch.setenv(VARIABLE, " a:1, [::1]:2 ")
    assert endpoints_of(None) == ("a:1", "[::1]:2")
    assert Client().endpoints == ("a:1", "[::1]:2")
    assert endpoints_of("b:3,c:4,") == ("b:3", "c:4")
    assert endpoints_of(iter(["d.example:65535"])) == ("d.example:65535",)


@pytest.mark.parametrize(
    "nonsense",
    [
        "nowhere",
        "a:0",
        "a:65536",
        "a:b",
        "http://a:1",
        "a:1/x",
        ":1",
        "a b:1",
        "a:1,,b",
        "[::1:2",
        "::1:2",
    ],
)
def test_nonsense_is_refused_at_once_in_one_line(
    nonsense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"^endpoint '.*' is not HOST:PORT$"):
        Client(nonsense)
    with pytest.raises(ValueError, match=r"is not HOST:PORT$"):
        sync.Client(nonsense)
    monkeypatch.setenv(VARIABLE, nonsense)
    with pytest.raises(ValueError, match=r"is not HOST:PORT \(from COORD_ENDPOINTS\)$"):
        Client()


def test_an_endpoint_is_a_text() -> None:
    with pytest.raises(TypeError, match="not int"):
        Client([7400])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one endpoint"):
        Client([])
