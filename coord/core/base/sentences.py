"""Refusals in words: made of the reason and its values where they are shown, and not stored.

Up to feature level 1, kept replies held the sentence beside fewer values, and digests covered both.
At those levels the state machine puts a refusal into its earlier form; so the words for the reasons
that were kept then must not change here before level 1 is given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from coord.core.base.refusal import Metadata, Reason, Rejected

Values = Mapping[str, str]
Sentence = Callable[[Values], str]
"""Says a refusal in words, given its metadata."""

Earlier = Callable[[Metadata], Metadata]
"""The metadata that builds without level 2 keep for a refusal, from those of today."""

_OWNERS: Final = {"queue": "the queue", "session": "the session"}
_OF_MANY: Final = {"tasks": "tasks (finished ones included)"}


def _session_not_found(values: Values) -> str:
    session_id = values["session_id"]
    return f"session {session_id} is not open: it was closed, it expired, or it never existed"


def _invalid(values: Values) -> str:
    return f"{values['doing']} needs a session: {values['field']} is 0"


def _limit_exceeded(values: Values) -> str:
    of, limit = values["of"].replace("_", " "), values["limit"]
    if "owner" not in values:
        return f"at most {limit} {of} are allowed"
    owner = _OWNERS.get(values["owner"]) or f"clients named {values['name']!a}"
    return (
        f"{owner} has {values['used']} {_OF_MANY.get(of, of)}; at most {limit} are allowed in the "
        "cluster, and nobody may have more than nine times as many as are still free"
    )


def _stale_token(values: Values) -> str:
    what = f"lock {values['lock']!a}" if "lock" in values else f"task {values['task_id']}"
    current = values["current"] if values["current"] != "0" else "none"
    return f"{what}: token {values['presented']} is stale, the current one is {current}"


def without(*names: str) -> Earlier:
    """The earlier metadata lacked these."""

    def earlier(metadata: Metadata) -> Metadata:
        return tuple([pair for pair in metadata if pair[0] not in names])

    return earlier


Case = Reason | tuple[Reason, str]
"""What is refused: by the reason alone, or by the reason and what the limit is one of."""

SENTENCES: Final[Mapping[Case, Sentence]] = {
    Reason.SESSION_NOT_FOUND: _session_not_found,
    Reason.INVALID_ARGUMENT: _invalid,
    Reason.LIMIT_EXCEEDED: _limit_exceeded,
    Reason.STALE_FENCING_TOKEN: _stale_token,
}

EARLIER: Final[Mapping[Case, Earlier]] = {
    Reason.INVALID_ARGUMENT: without("doing"),
    Reason.LIMIT_EXCEEDED: without("of", "owner", "name"),
    Reason.STALE_FENCING_TOKEN: without("presented", "lock", "task_id"),
}


class Wording:
    """The words for refusals of all domains."""

    __slots__ = ("_earlier", "_sentences")

    def __init__(self) -> None:
        self._sentences: dict[Case, Sentence] = dict(SENTENCES)
        self._earlier: dict[Case, Earlier] = dict(EARLIER)

    def add(self, sentences: Mapping[Case, Sentence], earlier: Mapping[Case, Earlier]) -> None:
        """Those of one domain, for what it alone refuses."""
        self._sentences.update(sentences)
        self._earlier.update(earlier)

    def text_of(self, rejected: Rejected) -> str:
        """The refusal in words. What is refused before it reaches a handler brings its own."""
        if rejected.message:
            return rejected.message
        values = dict(rejected.metadata)
        return self._sentences[_case_in(self._sentences, rejected.reason, values)](values)

    def shown_metadata(self, rejected: Rejected) -> dict[str, str]:
        """The values that a caller is given: also what was kept beside them before level 2."""
        return {**dict(self.before_level_2(rejected).metadata), **dict(rejected.metadata)}

    def before_level_2(self, rejected: Rejected) -> Rejected:
        """The refusal as it is kept and digested up to level 1."""
        if rejected.message:
            return rejected
        reason, metadata = rejected.reason, rejected.metadata
        earlier = self._earlier.get(_case_in(self._earlier, reason, dict(metadata)))
        kept = metadata if earlier is None else earlier(metadata)
        return Rejected(reason, self.text_of(rejected), kept)


def _case_in(known: Mapping[Case, object], reason: Reason, values: Values) -> Case:
    """The special case of a refusal, if there is one, else its reason alone."""
    special = (reason, values.get("of", ""))
    return special if special in known else reason
