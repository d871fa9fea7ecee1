"""Decoding of payloads, encoding of results, choice of handlers, loading of modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from agentnode.errors import LoadError, PermanentError
from agentnode.loading import load_registry
from agentnode.registry import Handler, Registry


@dataclass
class Order:
    item: str
    count: int


def handler_of(registry: Registry) -> Handler:
    (handler,) = registry
    return handler


def test_payload_follows_the_annotation() -> None:
    registry = Registry()

    @registry.task()
    def raw(payload: bytes) -> None: ...

    @registry.task()
    def order(payload: Order) -> None: ...

    @registry.task()
    def text(payload: str) -> None: ...

    @registry.task()
    def anything(payload) -> None: ...  # type: ignore[no-untyped-def]

    def decode(name: str, payload: bytes) -> object:
        handler = registry.find(name, "")
        assert handler is not None
        return handler.decode(payload)

    assert decode("raw", b"\xff") == b"\xff"
    assert decode("raw", b"") == b""
    assert decode("order", b'{"item": "bolt", "count": 3}') == Order("bolt", 3)
    assert decode("text", b'"hi"') == "hi"
    assert decode("anything", b"[1, null]") == [1, None]
    assert decode("anything", b"") is None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"{", "Invalid JSON"),
        (b"", "should be an object"),
        (b'{"item": "bolt", "count": "3"}', 'valid integer at ["count"]'),
        (b'{"item": "bolt"}', '["count"]'),
        (b"\xff\xfe", "Invalid JSON"),
    ],
)
def test_payload_that_does_not_fit_is_a_permanent_failure(payload: bytes, problem: str) -> None:
    registry = Registry()

    @registry.task()
    def order(payload: Order) -> None: ...

    with pytest.raises(PermanentError) as caught:
        handler_of(registry).decode(payload)
    assert str(caught.value).startswith("the payload does not fit handler 'order': ")
    assert problem in str(caught.value)


def test_results_are_bytes_or_json() -> None:
    registry = Registry()
    registry.task("h")(lambda: None)
    handler = handler_of(registry)
    assert handler.encode(b"raw") == b"raw"
    assert handler.encode(None) == b"null"
    assert handler.encode({"é": [1, 2.5]}) == '{"é":[1,2.5]}'.encode()
    assert handler.encode(Order("nut", 1)) == b'{"item":"nut","count":1}'
    with pytest.raises(PermanentError, match="is not JSON"):
        handler.encode(object())


def test_handlers_are_found_by_type_queue_or_being_the_only_one() -> None:
    registry = Registry()
    registry.task("a")(lambda: None)
    assert registry.find("a", "q") is registry.find("", "q")
    assert registry.find("b", "a") is None
    registry.task("b")(lambda: None)
    assert registry.find("", "q") is None
    assert registry.find("", "b") is registry.find("b", "q")


def test_bad_registrations_are_refused_at_once() -> None:
    registry = Registry()
    registry.task("a")(lambda: None)
    with pytest.raises(ValueError, match="two handlers are named 'a'"):
        registry.task("a")(lambda: None)
    with pytest.raises(ValueError, match="timeout_ms"):
        registry.task(timeout_ms=-1)
    with pytest.raises(TypeError, match="not 3 parameters"):
        registry.task("c")(lambda a, b, c: None)
    with pytest.raises(TypeError, match="not extra"):

        @registry.task()
        def keyword(payload: bytes, *, extra: int) -> None: ...


def test_further_parameters_with_defaults_are_left_alone() -> None:
    registry = Registry()
    registry.task("a")(lambda payload, ctx, depth=3: None)
    assert handler_of(registry).parameters == 2


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return tmp_path


GOOD = """
from agentnode import Registry
registry = Registry()

@registry.task()
def late(payload: "Later") -> None: ...

class Later(dict): ...
"""
PLAIN = "from agentnode import Registry\n{}\n"


def test_loads_from_a_file_and_by_name(here: Path) -> None:
    (here / "agentnode_good.py").write_text(GOOD.replace('"Later"', '"dict[str, int]"'))
    assert len(load_registry("agentnode_good.py")) == 1
    assert len(load_registry("agentnode_good")) == 1
    assert len(load_registry("agentnode_good:registry")) == 1


@pytest.mark.parametrize(
    ("source", "reference", "problem"),
    [
        (None, "agentnode_none", "No module named 'agentnode_none'"),
        (None, "agentnode_none.py", "there is no file"),
        ("1/0", "agentnode_m", "ZeroDivisionError: division by zero"),
        ("def (", "agentnode_m.py", "SyntaxError"),
        ("x = 1", "agentnode_m", "has 0 registries"),
        ("x = 1", "agentnode_m:y", "has no 'y'"),
        ("x = 1", "agentnode_m:x", "is not an agentnode Registry"),
        (PLAIN.format("a, b = Registry(), Registry()"), "agentnode_m", "has 2 registries"),
        (PLAIN.format("a = Registry()"), "agentnode_m", "has no handlers"),
        (GOOD.replace("Later(", "Other("), "agentnode_m", "'late': cannot use its payload"),
    ],
)
def test_load_errors_say_what_is_wrong(
    here: Path, source: str | None, reference: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source is not None:
        (here / "agentnode_m.py").write_text(source)
    monkeypatch.delitem(__import__("sys").modules, "agentnode_m", raising=False)
    __import__("importlib").invalidate_caches()
    with pytest.raises(LoadError) as caught:
        load_registry(reference)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
