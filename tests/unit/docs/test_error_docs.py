"""docs/errors.md and proto/coord/v1/errors.proto list every reason that nodes give."""

from __future__ import annotations

from typing import Any

import pytest

from coord.client.transport.errors import REASONS, from_reason
from coord.core.base.refusal import Reason
from coord.pb import errors_pb2
from coord.replication.port import MembershipRefusal
from coord.rpc.status import code_of
from coord.runtime import errors
from coord.runtime.errors import CallError, ServiceReason
from scripts.lib.gen_error_docs import HEADING, PAGE, PROTO, page, rows

PROPERTIES: Any = errors_pb2.properties
VALUES = {one.name.removeprefix("REASON_"): one for one in errors_pb2.Reason.DESCRIPTOR.values[1:]}
# What a node says of itself, by the functions that make it.
MADE = {
    "no_leader": errors.no_leader(),
    "not_leader": errors.not_leader("n1", "a:1"),
    "busy": errors.busy(5),
    "log_too_large": errors.log_too_large(),
    "shutting_down": errors.shutting_down(),
    "too_stale": errors.too_stale(7, 5),
    "outcome_unknown": errors.outcome_unknown("lost"),
    "deadline_passed": errors.deadline_passed(),
    "unimplemented": errors.unimplemented("/x/Y"),
    "message_too_large": errors.message_too_large(9, 8),
    "invalid": errors.invalid("no"),
    "level_too_low": errors.level_too_low("this", 0, 1),
    "members_behind": errors.members_behind(1, "n1"),
    "internal": errors.internal(),
}


def test_the_list_is_what_nodes_can_say() -> None:
    said = {*map(str, Reason), *map(str, ServiceReason), *map(str, MembershipRefusal)}
    assert set(VALUES) == said
    assert VALUES["INVALID_ARGUMENT"].number == 1  # numbers stay


def test_the_page_is_up_to_date() -> None:
    current = PAGE.read_text(encoding="utf-8")
    assert HEADING in current
    proto = PROTO.read_text(encoding="utf-8")
    assert page(current, proto) == current, "run scripts/gen_docs"
    assert page(current.replace("`BUSY`", "`LAZY`"), proto) == current


def test_every_reason_has_a_meaning_and_stands_on_the_page() -> None:
    listed = {row.name: row.text for row in rows(PROTO.read_text(encoding="utf-8")) if row.name}
    assert set(listed) == set(VALUES)
    for name, meaning in listed.items():
        assert meaning[:1].isupper(), name
        assert meaning.endswith("."), name
        assert f"| `{name}` |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", VALUES)
def test_client_and_node_go_by_the_list(name: str) -> None:
    about = VALUES[name].GetOptions().Extensions[PROPERTIES]
    error = from_reason(name, "m")
    assert (error.definite, error.retryable) == (not about.indefinite, about.retryable)
    assert code_of(name) == about.code > 0


def test_the_client_says_little_that_is_not_in_the_list() -> None:
    assert set(REASONS) - set(VALUES) == {"UNREACHABLE", "DEADLINE_EXCEEDED"}


@pytest.mark.parametrize("error", MADE.values(), ids=MADE)
def test_what_nodes_say_of_themselves_is_as_listed(error: CallError) -> None:
    about = VALUES[error.reason].GetOptions().Extensions[PROPERTIES]
    assert (error.code, error.definite) == (about.code, not about.indefinite)
