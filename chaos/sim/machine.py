"""A toy state machine: the list of commands, with a digest over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgpack


class LogMachine:
    """Keeps every command it applied, in order, with its index."""

    def __init__(self) -> None:
        self.commands: list[tuple[int, bytes]] = []
        self.digest = b""

    def apply(self, index: int, term: int, data: bytes) -> object:
        """Returns (index, data)."""
        self.commands.append((index, data))
        hashed = blake2b(self.digest, digest_size=16)
        hashed.update(index.to_bytes(8, "big") + data)
        self.digest = hashed.digest()
        return (index, data)

    def begin_snapshot(self) -> FrozenCommands:
        return FrozenCommands(list(self.commands), self.digest)

    def begin_digest(self) -> FrozenDigest:
        return FrozenDigest(self.digest)

    def restore(self, chunks: Iterable[bytes]) -> None:
        pieces = iter(chunks)
        self.digest = next(pieces)
        self.commands = [(i, d) for piece in pieces for i, d in msgpack.unpackb(piece)]


class FrozenDigest:
    """Its digest, known all the time."""

    scheme = "log"

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def next_slice(self) -> str | None:
        return f"x{self._digest.hex()}"

    def close(self) -> None:
        """Nothing is held."""


class FrozenCommands:
    """Its snapshot: the digest, then commands in pieces."""

    def __init__(self, commands: list[tuple[int, bytes]], digest: bytes) -> None:
        self._pieces = self._cut(commands, digest)

    def next_chunk(self) -> bytes | None:
        return next(self._pieces, None)

    def close(self) -> None:
        self._pieces = iter(())

    @staticmethod
    def _cut(commands: list[tuple[int, bytes]], digest: bytes) -> Iterator[bytes]:
        yield digest
        for start in range(0, len(commands), 50):
            yield msgpack.packb(commands[start : start + 50])
