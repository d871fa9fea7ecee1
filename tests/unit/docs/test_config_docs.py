"""docs/configuration.md describes the settings there are."""

from __future__ import annotations

import re

from coord.node.config import ServerConfig
from scripts.lib.gen_config_docs import HEADING, PAGE, meaning_of, page


def test_the_table_is_up_to_date() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert HEADING in current
    assert page(current) == current, "run scripts/gen_docs"


def test_a_change_would_be_seen() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert page(current.replace("`pipeline`", "`pipe`")) == current


def test_every_setting_says_what_it_means() -> None:
    for name, field in ServerConfig.model_fields.items():
        meaning = meaning_of(field)
        assert re.fullmatch(r"[A-Z].*[.]", meaning), f"{name}: {meaning!r}"
