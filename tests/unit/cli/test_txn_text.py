"""Conditions and operations of `coord kv txn`."""

from __future__ import annotations

import pytest

from coord.cli.exits import USAGE, CommandError
from coord.cli.txn_text import parse_condition, parse_operation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value(k) = x", ("value", "k", "=", "x")),
        ("mod(a/b)>7", ("mod", "a/b", ">", "7")),
        (" version( k ) != 0 ", ("version", "k", "!=", "0")),
        ("create(k)<12", ("create", "k", "<", "12")),
        ("value(\"a (b)\") = 'it is'", ("value", "a (b)", "=", "it is")),
        (r'value(k) = "say \"hi\""', ("value", "k", "=", 'say "hi"')),
        ("value(k) = ''", ("value", "k", "=", "")),
        ("value(k) = a=b", ("value", "k", "=", "a=b")),
    ],
)
def test_conditions(text: str, expected: tuple[str, str, str, str]) -> None:
    assert parse_condition(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k = x",
        "size(k) = 1",
        "value(k) == x",
        "value() = x",
        "value(k)",
        "value(k) = a b",
        "mod(k) = x",
        "mod(k) = -1",
        "version(k) = 99999999999999999999",
    ],
)
def test_what_is_no_condition_is_a_usage_error(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_condition(text)
    assert caught.value.code == USAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("put k v", ["put", "k", "v"]),
        ("put k 'two words'", ["put", "k", "two words"]),
        ("get k", ["get", "k"]),
        ("del 'a b'", ["del", "a b"]),
    ],
)
def test_operations(text: str, expected: list[str]) -> None:
    assert parse_operation(text) == expected


@pytest.mark.parametrize("text", ["", "put k", "put k v w", "get", "del a b", "swap a b", "put 'k"])
def test_what_is_no_operation_is_a_usage_error(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_operation(text)
    assert caught.value.code == USAGE
