"""Sequential models: what one object may answer when calls come one at a time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from chaos.histories.history import Operation


class Model(Protocol):
    """States are hashable values. `step` gives the state after the operation, or None when an
    object in that state could not have answered so."""

    name: str

    def initial(self) -> Hashable: ...

    def step(self, state: Hashable, operation: Operation) -> tuple[Hashable] | None: ...

    def needed(self, operations: Sequence[Operation]) -> list[Operation]:
        """Without those unknown operations that cannot matter to the verdict."""
        ...


def frozen(value: Any) -> Hashable:
    """A hashable stand-in for a JSON value."""
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    if isinstance(value, dict):
        return tuple(sorted((key, frozen(item)) for key, item in value.items()))
    return value  # type: ignore[no-any-return]


def cas_argument(operation: Operation) -> tuple[Any, Any]:
    """[old, new] of a compare-and-set; ValueError if it is anything else."""
    match operation.argument:
        case [old, new]:
            return old, new
        case other:
            raise ValueError(f"operation {operation.id}: cas takes [old, new], not {other!r}")


class RegisterModel:
    """One value: `read` gives it, `write` v sets it, `cas` [old, new] sets it if it is old.

    A `read` that answered null saw the register before any write."""

    name = "cas-register"

    def initial(self) -> Hashable:
        return None

    def step(self, state: Hashable, operation: Operation) -> tuple[Hashable] | None:
        match operation.f:
            case "read":
                return (state,) if frozen(operation.result) == state else None
            case "write":
                return (frozen(operation.argument),)
            case "cas":
                old, new = cas_argument(operation)
                return (frozen(new),) if frozen(old) == state else None
            case other:
                raise ValueError(f"a register has no operation {other!r}")

    def needed(self, operations: Sequence[Operation]) -> list[Operation]:
        """An unknown read changes nothing. An unknown write of a value that nobody saw can be left
        out of any order that has it: between it and the next write there is no observer."""
        seen = {frozen(op.result) for op in operations if op.f == "read" and _known(op)}
        seen |= {frozen(cas_argument(op)[0]) for op in operations if op.f == "cas"}
        return [op for op in operations if _known(op) or _written(op) in seen]


class LockModel:
    """An exclusive lock: `acquire` and `release`, told apart by the caller in `value`."""

    name = "lock"

    def initial(self) -> Hashable:
        return None

    def step(self, state: Hashable, operation: Operation) -> tuple[Hashable] | None:
        holder = frozen(operation.argument)
        match operation.f:
            case "acquire":
                return (holder,) if state is None else None
            case "release":
                return (None,) if state == holder else None
            case other:
                raise ValueError(f"a lock has no operation {other!r}")

    def needed(self, operations: Sequence[Operation]) -> list[Operation]:
        return list(operations)


def _known(operation: Operation) -> bool:
    return operation.returned is not None


_NOTHING = object()


def _written(operation: Operation) -> Hashable:
    match operation.f:
        case "write":
            return frozen(operation.argument)
        case "cas":
            return frozen(cas_argument(operation)[1])
        case _:
            return _NOTHING


MODELS: dict[str, Model] = {
    "register": RegisterModel(),
    "cas-register": RegisterModel(),
    "lock": LockModel(),
}
