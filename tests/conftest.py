"""Options of the whole suite."""

from __future__ import annotations

import pytest

from coord.terminal.interrupts import take_interrupts

take_interrupts()  # also when the suite is a background job; its children inherit it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="also run the full-length tests, marked `long`"
    )
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write what happened into the scenario files; read the diff before committing it",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="full-length test; run with --long")
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(skip)
