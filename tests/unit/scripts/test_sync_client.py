"""The generator of the blocking client, on a small client that has one method of every kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from coord.client.client import Client
from coord.client.sync.loop import BlockingLoop
from scripts.lib import gen_sync_client
from scripts.lib.sync_client.prose import blocking, docstring
from scripts.lib.sync_client.source import ByHand, CannotGenerateError, Source
from scripts.lib.sync_client.writer import MARK, ModuleWriter
from tests.support.toy_client import NeverBlocking, Toys


def written(kind: type) -> str:
    text = ModuleWriter(Source(sys.modules[kind.__module__]), kind, ByHand(), {}).text()
    return gen_sync_client.formatted("toys.py", text)


@pytest.fixture(scope="module")
def text() -> str:
    return written(Toys)


@pytest.fixture
def inner() -> Toys:
    return Toys()


@pytest.fixture
def toys(text: str, inner: Toys) -> Iterator[Any]:
    module = ModuleType("blocking_toys")
    exec(compile(text, "blocking_toys", "exec"), module.__dict__)
    loop = BlockingLoop()
    yield module.__dict__["Toys"](loop, inner)
    loop.close()


def test_calls_and_properties_block(toys: Any, inner: Toys) -> None:
    assert (toys.size, toys.add(1), toys.add(1, b=2), toys.list(2)) == (3, 15_001, 3, [0, 1])
    assert toys.forget() is None
    assert inner.ended == ["forgotten"]


def test_a_plain_method_runs_on_the_event_loop(toys: Any) -> None:
    assert toys.thread() == "coord-client"


def test_an_async_iterator_becomes_an_iterator_that_ends_with_the_loop(
    toys: Any, inner: Toys
) -> None:
    assert list(toys.count(3)) == [0, 1, 2]
    counting = toys.count(3)
    assert next(counting) == 0
    counting.close()
    assert inner.ended == ["count", "count"]


def test_an_async_context_manager_becomes_a_context_manager(toys: Any, inner: Toys) -> None:
    with toys.held("a") as held:
        assert held == "a"
        assert inner.ended == []
    with pytest.raises(ZeroDivisionError), toys.held("b"):
        raise ZeroDivisionError
    assert inner.ended == ["a", "b"]


def test_what_only_an_event_loop_can_use_is_left_out(toys: Any) -> None:
    assert not hasattr(toys, "stream")


def test_the_text_says_that_it_is_generated_and_keeps_the_signatures(text: str) -> None:
    assert MARK in text.split('"""')[1]
    assert "def add(self, a: int, *, b: int = 15_000) -> int:" in text
    assert "def list(self, limit: int = LIMIT) -> builtins.list[int]:" in text
    # Within the class, `list` is the method.
    assert 'type: str = "",  # noqa: A002\n    ) -> builtins.list[str]:' in text
    assert "def count(self, end: int) -> Iterator[int]:" in text
    assert "from tests.support.toy_client import LIMIT" in text


def test_docstrings_say_nothing_of_event_loops(text: str) -> None:
    assert '"""Toys.\n\n    Never to be shared."""' in text
    assert '"""Their sum: `toys.add(1)`."""' in text
    assert '"""Count: `for n in toys.count(3)`."""' in text
    assert '"""Hold one in a `with` block."""' in text
    assert "event loop" not in text


def test_docstrings_keep_code_and_backslashes_and_fit() -> None:
    doc = "First " + "word " * 30 + '\n\n    with x:\n        pass\n\nb"\\0" ends.'
    made = docstring(blocking(doc), within=4)
    assert '\n\n        with x:\n            pass\n\n    b"\\\\0" ends."""' in made
    assert max(map(len, made.splitlines())) <= 96


def test_what_has_no_blocking_form_is_refused() -> None:
    with pytest.raises(CannotGenerateError, match="Awaitable"):
        written(NeverBlocking)


def test_a_new_part_of_the_async_client_needs_no_other_edit() -> None:
    parts = gen_sync_client.parts_of(Client("127.0.0.1:1")) | {"toys": Toys}
    made = gen_sync_client.generate(Client, parts)
    assert "self.toys = Toys(self._loop, self._inner.toys)" in made["client.py"]
    assert "toy_client.py" in made
