"""One etcd in a process of its own, and requests made at random for it and for this store."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from coord.pb import etcd_rpc_pb2 as pb
from tests.support.rpc import free_port

ETCD = shutil.which("etcd")
_START_S = 20.0

Call = tuple[str, bytes]
"""A method of etcdserverpb.KV and the bytes of its request."""


def version() -> str:
    """Such as 3.4; empty if there is no etcd."""
    if ETCD is None:
        return ""
    told = subprocess.run([ETCD, "--version"], capture_output=True, text=True, check=True).stdout
    return ".".join(told.split()[2].split(".")[:2])


@contextmanager
def etcd_server(directory: Path) -> Iterator[str]:
    """The address of an empty etcd; it is gone afterwards."""
    assert ETCD is not None
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    argv = [
        *(ETCD, "--name", "e", "--data-dir", str(directory / "data"), "--log-level", "error"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"e={peer}", "--max-txn-ops", "512", "--unsafe-no-fsync"),
    ]
    if version() == "3.4":
        argv.remove("--unsafe-no-fsync")
    with (directory / "etcd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        address = client.removeprefix("http://")
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=_START_S)
            ask = channel.unary_unary("/etcdserverpb.KV/Range")
            ask(pb.RangeRequest(key=b"k").SerializeToString(), timeout=_START_S)
        yield address
    finally:
        process.kill()
        process.wait()


class Draws:
    """Requests at random: mostly good ones over few keys, so that they meet; some with faults."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.revision = 1  # about where the store is

    def call(self) -> Call:
        """The next call."""
        kind = self._random.choices(
            ("Put", "Range", "DeleteRange", "Txn", "Compact"), (30, 30, 10, 28, 2)
        )[0]
        message: Any = {
            "Put": self.put,
            "Range": self.range,
            "DeleteRange": self.delete,
            "Txn": lambda: self.txn(2),
            "Compact": lambda: pb.CompactionRequest(revision=self._revision(often=True)),
        }[kind]()
        return kind, message.SerializeToString()

    def put(self) -> pb.PutRequest:
        draw = self._rarely
        return pb.PutRequest(
            key=self._key(),
            value=self._value(),
            lease=7 if draw(0.03) else 0,
            prev_kv=draw(0.3),
            ignore_value=draw(0.05),
            ignore_lease=draw(0.05),
        )

    def range(self) -> pb.RangeRequest:
        draw, pick = self._rarely, self._random.choice
        request = pb.RangeRequest(
            key=self._key(),
            range_end=self._end(),
            limit=pick((0, 0, 0, 1, 2, 3, -1)),
            revision=self._revision(),
            keys_only=draw(0.15),
            count_only=draw(0.15),
            serializable=draw(0.1),
        )
        if draw(0.4):
            request.sort_order = pick((0, 1, 2))
            request.sort_target = pick((0, 1, 2, 3, 4))
        for field in ("mod", "create"):
            if draw(0.1):
                setattr(request, f"min_{field}_revision", self._revision())
            if draw(0.1):
                setattr(request, f"max_{field}_revision", self._revision())
        return request

    def delete(self) -> pb.DeleteRangeRequest:
        return pb.DeleteRangeRequest(
            key=self._key(), range_end=self._end(), prev_kv=self._rarely(0.4)
        )

    def txn(self, depth: int) -> pb.TxnRequest:
        many = self._random.randint
        return pb.TxnRequest(
            compare=[self.compare() for _ in range(many(0, 2))],
            success=[self.op(depth) for _ in range(many(0, 3))],
            failure=[self.op(depth) for _ in range(many(0, 3))],
        )

    def op(self, depth: int) -> pb.RequestOp:
        draw = self._random.random()
        if draw < 0.02:
            return pb.RequestOp()
        if draw < 0.15 and depth:
            return pb.RequestOp(request_txn=self.txn(depth - 1))
        if draw < 0.45:
            return pb.RequestOp(request_range=self.range())
        if draw < 0.7:
            return pb.RequestOp(request_delete_range=self.delete())
        return pb.RequestOp(request_put=self.put())

    def compare(self) -> pb.Compare:
        pick = self._random.choice
        one = pb.Compare(key=self._key(), range_end=self._end(), result=pick((0, 1, 2, 3)))
        one.target = pick((0, 1, 2, 3, 4))
        number = self._random.randint(-1, self.revision + 1)
        match one.target:
            case pb.Compare.VERSION:
                one.version = number % 5
            case pb.Compare.CREATE:
                one.create_revision = number
            case pb.Compare.MOD:
                one.mod_revision = number
            case pb.Compare.VALUE:
                one.value = self._value()
            case pb.Compare.LEASE:
                one.lease = number % 2
        return one

    def _key(self) -> bytes:
        if self._rarely(0.02):
            return b""
        return self._random.choice((b"a", b"aa", b"ab", b"b", b"b\0", b"c", b"d", b"e\xff", b"\0"))

    def _end(self) -> bytes:
        if self._rarely(0.5):
            return b""
        return b"\0" if self._rarely(0.3) else self._key()

    def _value(self) -> bytes:
        return self._random.choice((b"", b"x", b"y", b"zz"))

    def _revision(self, *, often: bool = False) -> int:
        if not often and not self._rarely(0.15):
            return 0
        return (
            self._random.choice((-1, 0, 1, self.revision + 2))
            if self._rarely(0.3)
            else (self._random.randint(max(1, self.revision - 30), self.revision))
        )

    def _rarely(self, chance: float) -> bool:
        return self._random.random() < chance
