"""Principals and the texts that stand for them in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coord.codec.envelope import EnvelopeItem, encode_envelope, to_batch
from coord.codec.principal import principal_in, principal_text
from coord.core.base.principal import ANONYMOUS, INTERNAL, Principal
from coord.core.batch import Request
from coord.core.sessions.commands import OpenSession

kinds = st.text(min_size=1, max_size=6).filter(lambda kind: ":" not in kind)


def test_what_earlier_builds_wrote_is_still_written() -> None:
    assert principal_text(ANONYMOUS) == "anonymous"
    assert principal_text(Principal("anonymous", "")) == "anonymous"
    assert principal_text(INTERNAL) == ""


@pytest.mark.parametrize("principal", [ANONYMOUS, INTERNAL, Principal("user", "ada:b")])
def test_a_principal_comes_back(principal: Principal) -> None:
    assert principal_in(principal_text(principal)) == principal


@given(kinds, st.text(max_size=8))
def test_every_principal_comes_back(kind: str, name: str) -> None:
    principal = Principal(kind, name)
    assert principal_in(principal_text(principal)) == principal


@pytest.mark.parametrize("text", ["someone", ":", ":ada", "a b"])
def test_a_text_of_another_form_names_nobody(text: str) -> None:
    assert principal_in(text) == ANONYMOUS


@pytest.mark.parametrize("kind", ["", "a:b"])
def test_a_kind_that_no_text_can_name_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="kind of a principal"):
        principal_text(Principal(kind, "ada"))


def test_the_principal_of_a_request_travels_in_the_log() -> None:
    item = EnvelopeItem(1, "user:ada", 0, 0, 0, b"")
    (request,) = to_batch(encode_envelope(1, 1, [item])).requests
    assert request.principal == Principal("user", "ada")


def test_a_request_is_anonymous_unless_it_says_otherwise() -> None:
    assert Request(OpenSession(1_000, b"")).principal == ANONYMOUS
