"""This project's words for what libraries and protocols say in theirs.

The key-value service answers with etcd's texts, because clients written for etcd compare them, and
gRPC tells what its own layers see. Neither means much to somebody who uses this client."""

from __future__ import annotations

import re
from typing import Final

_ETCD: Final = {
    "etcdserver: key is not provided": "the key must not be empty",
    "etcdserver: key not found": "there is no such key",
    "etcdserver: value is provided": "a put that keeps the value must not bring one",
    "etcdserver: lease is provided": "a put that keeps the lease must not bring one",
    "etcdserver: requested lease not found": "there is no such lease",
    "etcdserver: duplicate key given in txn request": "the transaction writes one key twice",
    "etcdserver: too many operations in txn request": "the transaction has too many operations",
    "etcdserver: invalid sort option": "there is no such order",
    "etcdserver: request is too large": "the request is too large",
    "etcdserver: mvcc: required revision has been compacted": (
        "the revision asked for is compacted; what it held is gone"
    ),
    "etcdserver: mvcc: required revision is a future revision": (
        "the revision asked for lies in the future"
    ),
}
_ETCD_PREFIX: Final = re.compile(r"^etcdserver: (mvcc: )?")
_TOO_LARGE: Final = re.compile(
    r"(?P<side>SERVER|CLIENT): (?P<way>Received|Sent) message larger than max "
    r"\((?P<size>\d+) vs\.? (?P<most>\d+)\)"
)
_ENDED: Final = (
    *("socket closed", "connection reset", "goaway", "recvmsg", "stream removed", "broken pipe"),
    *("transport closed", "connection closed", "keepalive", "ping timeout", "endpoint closing"),
)
_CONNECTING: Final = (
    ("connection refused", "nobody listens there"),
    ("no route to host", "there is no route to that host"),
    ("network is unreachable", "the network is unreachable"),
    ("dns resolution failed", "the host name cannot be resolved"),
    ("errors resolving", "the host name cannot be resolved"),
    ("timed out", "connecting took too long"),
    ("timeout", "connecting took too long"),
)


def own_words(message: str) -> str:
    """What the message says, in this client's words; as it is when it is nobody else's."""
    if message.startswith("etcdserver: "):
        return _from_etcd(message)
    too_large = _TOO_LARGE.search(message)
    if too_large is not None:
        # The side that received it names it, so it was the other one's message.
        asked = (too_large["side"] == "SERVER") is (too_large["way"] == "Received")
        what = "request" if asked else "answer"
        advice = "send" if asked else "ask for"
        size, most = too_large["size"], too_large["most"]
        return f"the {what} has {size} bytes; {most} at most: {advice} less at a time"
    if message.lower().startswith(_ENDED):
        return "the connection to the node ended during the call"
    return message


def not_connected(message: str) -> str:
    """Why no connection could be made, from what gRPC says about it."""
    lowered = message.lower()
    for sign, words in _CONNECTING:
        if sign in lowered:
            return words
    return "no connection could be made"


def _from_etcd(message: str) -> str:
    for text, words in _ETCD.items():
        if message.startswith(text):
            return words + message.removeprefix(text)
    return _ETCD_PREFIX.sub("", message)
