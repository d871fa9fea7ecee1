"""No field of a peer's message is believed before it was looked at."""

from __future__ import annotations

from typing import Any

import pytest

from coord.replication.membership import encode_members
from coord.replication.messages import FIELDS, InvalidMessageError, StampGuard, check_message
from tests.support.replication import members_of

_GOOD: dict[str, Any] = {
    "type": "append",
    "term": 3,
    "boot": 1,
    "number": 7,
    "prev_index": 4,
    "prev_term": 2,
    "entries": [[2, b"\x00a"], [3, b"\x01"]],
    "commit": 4,
    "append": 9,
    "read": 0,
}


def test_a_good_message_passes_and_unknown_fields_do_not_hurt() -> None:
    assert check_message(dict(_GOOD)) == _GOOD
    assert check_message({**_GOOD, "newer": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"type": "no such"},
        {"type": []},
        {"term": -1},
        {"term": True},
        {"term": 2**63},
        {"boot": None},
        {"number": "1"},
        {"prev_index": 1.0},
        {"entries": None},
        {"entries": [[2]]},
        {"entries": [(2, b"a")]},
        {"entries": [[2, b""]]},
        {"entries": [[2, "a"]]},
        {"entries": [[1, b"a"]]},
        {"entries": [[3, b"a"], [2, b"b"]]},
        {"entries": [[4, b"a"]]},
    ],
)
def test_a_bad_field_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessageError):
        check_message({**_GOOD, **change})


@pytest.mark.parametrize("raw", [None, 1, b"x", [], ["append"], "append"])
def test_what_is_not_a_map_is_refused(raw: object) -> None:
    with pytest.raises(InvalidMessageError):
        check_message(raw)


@pytest.mark.parametrize("kind", FIELDS)
def test_every_missing_field_is_refused(kind: str) -> None:
    members = b"" if kind == "snapshot" else encode_members(members_of("n1"))
    samples: dict[str, Any] = {
        "entries": [],
        "data": b"",
        "members": members,
        "founders": [["n1", 1]],
        "scheme": "v1",
        "digest": "0a",
    }
    flags = {"success", "reset", "forced", "granted", "done", "virgin", "votes", "committed"}
    message: dict[str, Any] = {"type": kind, "term": 1, "boot": 1, "number": 1}
    for name in FIELDS[kind]:
        message[name] = samples.get(name, name in flags if name in flags else 1)
    check_message(dict(message))
    for name in [n for n in message if n != "type"]:
        with pytest.raises(InvalidMessageError):
            check_message({k: v for k, v in message.items() if k != name})


def test_a_stamp_passes_once_and_only_forward() -> None:
    guard = StampGuard()

    def fresh(peer: str, boot: int, number: int) -> bool:
        return guard.is_fresh(peer, {"boot": boot, "number": number})

    assert fresh("a", 1, 1)
    assert not fresh("a", 1, 1)
    assert fresh("a", 1, 5)
    assert not fresh("a", 1, 4)
    assert fresh("b", 1, 4)
    assert fresh("a", 2, 1)
    assert not fresh("a", 1, 9)
