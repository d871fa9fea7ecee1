"""Refusals about locks in words; see `coord.core.base.sentences`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from coord.core.base.refusal import Reason
from coord.core.base.sentences import Case, Sentence, Values


def _lock_not_held(values: Values) -> str:
    return f"lock {values['name']!a} is held by nobody"


SENTENCES: Final[Mapping[Case, Sentence]] = {Reason.LOCK_NOT_HELD: _lock_not_held}
