"""docs/client.md describes the client there is."""

from __future__ import annotations

import inspect

import pytest

import coord.client
from coord.client.transport.errors import CoordError
from scripts.lib.gen_client_docs import HEADING, PAGE, SERVICES, methods_of, page


def test_the_reference_is_up_to_date() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert HEADING in current
    assert page(current) == current, "run scripts/gen_docs"


def test_a_change_would_be_seen() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert page(current.replace("#### `client.tasks.submit`", "#### `client.tasks.put`")) == current


@pytest.mark.parametrize("kind", SERVICES.values(), ids=lambda kind: kind.__name__)
def test_every_method_says_what_it_does(kind: type) -> None:
    found = list(methods_of(kind))
    assert found
    for name, function, _ in found:
        assert inspect.getdoc(function), f"{kind.__name__}.{name}"


def test_every_value_and_error_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in coord.client.__all__:
        kind = getattr(coord.client, name)
        if inspect.isclass(kind) and kind is not CoordError:
            assert f"`{name}`" in text, name
            assert inspect.getdoc(kind), name
