"""Messages, writes and entries of replicas as lines of a scenario's trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from coord.replication.entry_kinds import MEMBERS, REGULAR
from coord.replication.membership import decode_members
from coord.replication.messages import Message
from coord.replication.port import Member
from coord.replication.storage.writes import (
    AppendEntry,
    DropBefore,
    ResetLog,
    StoreAdmission,
    StoreBoot,
    StoreVote,
    TruncateFrom,
    WriteOp,
)


def entry_text(index: int, term: int, command: bytes) -> str:
    """`index/term what`, as in `3/1 x`."""
    kind, data = command[:1], command[1:]
    if kind == REGULAR:
        return f"{index}/{term} {data.decode()}"
    if kind == MEMBERS:
        return f"{index}/{term} members({members_text(decode_members(data))})"
    return f"{index}/{term} no-op"


def members_text(members: Iterable[Member]) -> str:
    """Their ids; learners with a star."""
    return " ".join(f"{one.node_id}*" if one.learner else one.node_id for one in members)


def write_text(operation: WriteOp) -> str:
    """What is written to the disk."""
    match operation:
        case AppendEntry((command, index, term)):
            return f"entry {entry_text(index, term, command)}"
        case TruncateFrom(index):
            return f"cut from {index}"
        case ResetLog((_, index, term)):
            return f"new log from {index}/{term}"
        case StoreVote(term, voted_for):
            return f"vote term={term} for={voted_for or 'nobody'}"
        case StoreAdmission(admission):
            return f"admission {admission.standing.name}"
        case StoreBoot():
            return "number of this run"
        case DropBefore(index):
            return f"drop before {index}"
        case _:
            raise AssertionError(operation)


def message_text(message: Message) -> str:
    """A message without its stamp."""
    detail = _DETAILS.get(message["type"])
    words = [message["type"], f"term={message['term']}", *(detail(message) if detail else ())]
    return " ".join(words)


def _append(m: Message) -> list[str]:
    words = [f"#{m['append']}"]
    if m["prev_index"]:
        words.append(f"prev={m['prev_index']}/{m['prev_term']}")
    index = m["prev_index"] + 1
    entries = [entry_text(index + i, term, c) for i, (term, c) in enumerate(m["entries"])]
    words += [f"[{', '.join(entries)}]"] if entries else []
    words += [f"commit={m['commit']}"] if m["commit"] else []
    return words + _read(m)


def _ack(m: Message) -> list[str]:
    outcome = "reset" if m["reset"] else "ok" if m["success"] else "failed"
    return [f"#{m['append']}", outcome, f"next={m['next']}", *_read(m)]


def _seen(m: Message) -> list[str]:
    return [f"#{m['append']}", *_read(m), *(["disk-full"] if m.get("full") else [])]


def _read(m: Message) -> list[str]:
    return [f"read={m['read']}"] if m["read"] else []


def _last(m: Message) -> list[str]:
    return [f"last={m['last_index']}/{m['last_term']}"]


def _introduction(m: Message) -> list[str]:
    words = ["votes" if m["votes"] else "does-not-vote", *(["virgin"] if m["virgin"] else [])]
    return [*words, f"members({members_text(decode_members(m['members']))})"]


_DETAILS: dict[str, Callable[[Message], list[str]]] = {
    "append": _append,
    "ack": _ack,
    "seen": _seen,
    "vote_request": lambda m: [*_last(m), *(["forced"] if m["forced"] else [])],
    "pre_vote": lambda m: [f"wanted={m['wanted']}", *_last(m)],
    "pre_vote_reply": lambda m: [f"wanted={m['wanted']}", "yes" if m["granted"] else "no"],
    "snapshot": lambda m: [
        f"at={m['index']}/{m['snapshot_term']}",
        f"bytes={m['offset']}-{m['offset'] + len(m['data'])}/{m['size']}",
    ],
    "snapshot_ack": lambda m: [
        f"at={m['index']}/{m['snapshot_term']}",
        "done" if m["done"] else f"has={m['offset']}",
    ],
    "members": lambda m: [
        f"({members_text(decode_members(m['members']))})",
        f"entry={m['index']}",
        "committed" if m["committed"] else "not-known-to-be-committed",
    ],
    "behind": lambda m: ["your-run-is-older-than-known"],
    "introduction": _introduction,
}


def result_text(result: Any) -> str:
    """Of an applied entry: the log machine's (index, data), or the members."""
    if isinstance(result, tuple) and result and isinstance(result[0], Member):
        return f"members({members_text(result)})"
    return str(result[1].decode())
