"""The digest: in slices of bounded size, the same whatever the slices."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coord.core.base.build import COMPILED
from coord.core.base.request import RequestId
from coord.core.batch import Batch, Request
from coord.core.digest import Digester, _ascii_parts
from coord.core.kv.commands import KvPut, KvRange, KvTxn
from coord.core.machine import Machine
from coord.core.sessions.commands import OpenSession
from tests.support.core_rows import read_rows

TEXTS = st.text("a'\"\\\n\0ü€😀", max_size=30)
BYTES = st.lists(st.sampled_from([b"a", b"'", b'"', b"\\", b"\n", b"\0", b"\xff"])).map(b"".join)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | BYTES,
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES, st.integers(1, 60))
def test_parts_are_the_text_of_the_whole(value: Any, max_chars: int) -> None:
    assert "".join(_ascii_parts(value, max_chars)) == ascii(value)


@settings(deadline=None)
@given(BYTES | TEXTS, st.integers(1, 9))
def test_parts_of_a_long_value(value: bytes | str, max_chars: int) -> None:
    parts = list(_ascii_parts(value * 9, max_chars))
    assert "".join(parts) == ascii(value * 9)
    assert max(map(len, parts)) <= 10 * max_chars + 3


def digest_by_definition(machine: Machine) -> str:
    lines = "".join(ascii(row) + "\n" for row in read_rows(machine))
    return blake2b(lines.encode(), digest_size=16).hexdigest()


@pytest.fixture(scope="module")
def large() -> Machine:
    """The largest values, and a kept reply that holds all of them."""
    machine = Machine()
    value = bytes(range(256)) * 4096
    assert len(value) == machine.state.limits.max_value_bytes
    puts = [Request(KvPut(b"k%d" % n, value[:-1] + b"%d" % n)) for n in range(4)]
    machine.apply(Batch(1, 1, [*puts, Request(OpenSession(60_000, b"n"))]))
    ranges = KvTxn([], [KvRange(b"k", b"l")], [])
    session_id = next(iter(machine.state.sessions))
    machine.apply(Batch(2, 2, [Request(ranges, RequestId(session_id, 1, 0))]))
    return machine


@pytest.mark.parametrize("slice_chars", [100, 5_000, 32 * 1024, 1 << 30])
def test_the_digest_does_not_depend_on_the_slices(large: Machine, slice_chars: int) -> None:
    *pauses, digest = Digester(large.state, slice_chars)
    assert set(pauses) <= {None}
    assert digest == digest_by_definition(large) == large.digest()


@pytest.mark.skipif(COMPILED, reason="the digest of compiled code cannot be replaced")
def test_a_slice_is_bounded_also_within_a_row(
    large: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Hash:
        def update(self, data: bytes) -> None:
            sizes.append(len(data))

        def hexdigest(self) -> str:
            return ""

    with Digester(large.state) as digester:
        digester._hash = Hash()  # type: ignore[assignment]
        for _ in digester:
            pass
    # A byte is written as four characters at most.
    assert max(sizes) <= 5 * 32 * 1024
    assert sum(sizes) > 20 * 1024 * 1024


def test_many_keys_that_come_in_one_place_while_it_is_made() -> None:
    """They are passed over in slices as well."""
    machine = Machine()
    machine.apply(Batch(1, 1, [Request(KvPut(key, b"")) for key in (b"a", b"z")]))
    expected = machine.digest()
    with Digester(machine.state) as digester:
        many = [Request(KvPut(b"many%06d" % n, b"")) for n in range(9_000)]
        machine.apply(Batch(2, 2, many))
        *pauses, digest = digester
    assert digest == expected
    assert len(pauses) > 2
